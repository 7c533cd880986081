// Secrets, which are set by hand once (README.md) and read by the two machines as they boot. They never pass a template.
// Cost: by operation, a few a day; https://azure.microsoft.com/pricing/details/key-vault/
param location string
@maxLength(24)
param name string
param tags object
param restoreDays int
param subnetIds array
param adminAddresses array
param readerPrincipalIds array

// Key Vault Secrets User: https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/security
var secretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  // checkov:skip=CKV_AZURE_189: its firewall admits the two subnets and the administrators alone; a private endpoint costs by the hour
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    enableSoftDelete: true
    softDeleteRetentionInDays: min(restoreDays, 90)
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: 'Deny'
      ipRules: [for address in adminAddresses: { value: address }]
      virtualNetworkRules: [for id in subnetIds: { id: id }]
    }
  }
}

resource readers 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for id in readerPrincipalIds: {
    name: guid(vault.id, id, secretsUser)
    scope: vault
    properties: {
      principalId: id
      principalType: 'ServicePrincipal'
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsUser)
    }
  }
]

output uri string = vault.properties.vaultUri
output name string = vault.name
