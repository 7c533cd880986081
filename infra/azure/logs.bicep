// Where both machines send their system logs and heartbeats.
// Cost: by the GB taken in; the daily cap bounds it; https://azure.microsoft.com/pricing/details/monitor/
param location string
param prefix string
param tags object

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: prefix
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    retentionInDays: 90
    workspaceCapping: { dailyQuotaGb: 1 }
    features: { disableLocalAuth: true }
  }
}

resource rule 'Microsoft.Insights/dataCollectionRules@2022-06-01' = {
  name: prefix
  location: location
  tags: tags
  kind: 'Linux'
  properties: {
    dataSources: {
      syslog: [
        {
          name: 'system'
          streams: ['Microsoft-Syslog']
          facilityNames: ['daemon', 'syslog', 'auth', 'kern']
          logLevels: ['Warning', 'Error', 'Critical', 'Alert', 'Emergency']
        }
      ]
    }
    destinations: {
      logAnalytics: [{ name: 'workspace', workspaceResourceId: workspace.id }]
    }
    dataFlows: [{ streams: ['Microsoft-Syslog'], destinations: ['workspace'] }]
  }
}

output workspaceId string = workspace.id
output collectionRuleId string = rule.id
