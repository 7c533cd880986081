// A GPU machine that runs for long, and money.
param location string
param prefix string
param tags object
param emails array
param workspaceId string
param gpuVmId string
param gpuHoursADay int
param monthlyBudget int
param budgetStart string

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: prefix
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: take(prefix, 12)
    emailReceivers: [
      for (email, i) in emails: { name: 'person-${i}', emailAddress: email, useCommonAlertSchema: true }
    ]
  }
}

// The agent on the machine sends one heartbeat a minute while it runs
// (https://learn.microsoft.com/azure/azure-monitor/reference/tables/heartbeat).
resource forgotten 'Microsoft.Insights/scheduledQueryRules@2021-08-01' = {
  name: '${prefix}-gpu-runs-for-long'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'The GPU machine ran for more than ${gpuHoursADay} of the last 24 hours'
    description: 'Look at the runs in the Prefect UI. If none runs, deallocate the machine: Stop in the portal, not a shutdown from inside.'
    enabled: true
    severity: 2
    scopes: [workspaceId]
    evaluationFrequency: 'PT1H'
    windowSize: 'P1D'
    autoMitigate: true
    criteria: {
      allOf: [
        {
          query: 'Heartbeat | where _ResourceId =~ "${gpuVmId}" | summarize minutes = dcount(bin(TimeGenerated, 1m))'
          metricMeasureColumn: 'minutes'
          timeAggregation: 'Maximum'
          operator: 'GreaterThan'
          threshold: gpuHoursADay * 60
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: [people.id] }
  }
}

resource budget 'Microsoft.Consumption/budgets@2023-11-01' = {
  name: prefix
  properties: {
    category: 'Cost'
    amount: monthlyBudget
    timeGrain: 'Monthly'
    timePeriod: { startDate: budgetStart }
    notifications: {
      most: { enabled: true, operator: 'GreaterThan', threshold: 80, thresholdType: 'Actual', contactEmails: emails }
      forecast: { enabled: true, operator: 'GreaterThan', threshold: 100, thresholdType: 'Forecasted', contactEmails: emails }
    }
  }
}
