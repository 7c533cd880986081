// Images.
// Cost: by the day and by the GB above what the tier includes; https://azure.microsoft.com/pricing/details/container-registry/
param location string
@minLength(5)
@maxLength(50)
param name string
param tags object
param readerPrincipalIds array

// AcrPull: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/containers
var acrPull = '7f951dda-4ed3-4680-a7ca-43fe172d538d'

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  // checkov:skip=CKV_AZURE_139: a private endpoint needs the Premium tier; pulling needs a role, and nothing is anonymous
  // checkov:skip=CKV_AZURE_163: scanning belongs to Microsoft Defender, which is switched on for a subscription
  // checkov:skip=CKV_AZURE_166: quarantine needs the Premium tier
  name: name
  location: location
  tags: tags
  sku: { name: 'Basic' }
  properties: {
    adminUserEnabled: false
    anonymousPullEnabled: false
  }
}

resource readers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for id in readerPrincipalIds: {
    name: guid(registry.id, id, acrPull)
    scope: registry
    properties: {
      principalId: id
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', acrPull)
    }
  }
]

output host string = registry.properties.loginServer
