// Blobs: `images` is only ever read by Lightbox, `lightbox` is its workspace. No public access, no account keys.
// Cost: GB a month, and transactions (docs/scaling.md counts them); https://azure.microsoft.com/pricing/details/storage/blobs/
param location string
@maxLength(24)
param name string
param tags object
param sku string
param restoreDays int
param runArtefactDays int
param subnetIds array
param adminAddresses array
param serverPrincipalId string
param gpuPrincipalId string

// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles/storage
var blobDataContributor = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
var blobDataReader = '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  // checkov:skip=CKV_AZURE_206: replication is a parameter, in three zones by default
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
      services: { blob: { enabled: true, keyType: 'Account' } }
    }
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: 'Deny'
      ipRules: [for address in adminAddresses: { value: address, action: 'Allow' }]
      virtualNetworkRules: [for id in subnetIds: { id: id, action: 'Allow' }]
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: { enabled: true, days: restoreDays }
    containerDeleteRetentionPolicy: { enabled: true, days: restoreDays }
    changeFeed: { enabled: false }
  }
}

resource images 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'images'
  properties: { publicAccess: 'None' }
}

resource workspace 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'lightbox'
  properties: { publicAccess: 'None' }
}

// The layout of a workspace: runs/, cache/, models/, labels/, datasets/ below `workspace` of the container.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = {
  parent: account
  name: 'default'
  dependsOn: [blobs]
  properties: {
    policy: {
      rules: [
        {
          name: 'run-artefacts'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'], prefixMatch: ['lightbox/workspace/runs/'] }
            actions: {
              baseBlob: {
                tierToCool: { daysAfterModificationGreaterThan: 30 }
                delete: { daysAfterModificationGreaterThan: runArtefactDays }
              }
            }
          }
        }
        {
          name: 'old-versions'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: { blobTypes: ['blockBlob'] }
            actions: { version: { delete: { daysAfterCreationGreaterThan: restoreDays } } }
          }
        }
      ]
    }
  }
}

resource imagesToServer 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(images.id, serverPrincipalId, blobDataReader)
  scope: images
  properties: {
    principalId: serverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataReader)
  }
}

resource imagesToGpu 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(images.id, gpuPrincipalId, blobDataReader)
  scope: images
  properties: {
    principalId: gpuPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataReader)
  }
}

resource workspaceToServer 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, serverPrincipalId, blobDataContributor)
  scope: workspace
  properties: {
    principalId: serverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
  }
}

resource workspaceToGpu 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, gpuPrincipalId, blobDataContributor)
  scope: workspace
  properties: {
    principalId: gpuPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', blobDataContributor)
  }
}

output account string = account.name
