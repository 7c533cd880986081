// Lightbox in one resource group: store, identities, secrets, registry, a CPU machine for the Prefect server and the
// endpoint, a GPU machine that is deallocated except while it trains, logs, an alert and a budget. See README.md.
//
// Once a subscription: az feature register --namespace Microsoft.Compute --name EncryptionAtHost
//
//   az group create --name lightbox --location westeurope
//   az deployment group create --resource-group lightbox --template-file infra/azure/main.bicep \
//     --parameters sshPublicKey="$(cat ~/.ssh/id_ed25519.pub)" alertEmails='["you@example.org"]'
targetScope = 'resourceGroup'

@description('Region of everything.')
param location string = resourceGroup().location

@description('Beginning of every name; lower-case letters and digits.')
@minLength(3)
@maxLength(10)
param prefix string = 'lightbox'

@description('Public SSH key of the administrator. Passwords are not accepted.')
param sshPublicKey string

@description('Who hears of a GPU machine that runs for long, and of spending.')
param alertEmails array

@description('Networks that may ask the endpoint and open the Prefect UI, such as a hospital network that is peered or reaches here by VPN. Nothing is open to the internet.')
param clientPrefixes array = []

@description('Public addresses from which administrators set secrets and upload images.')
param adminAddresses array = []

@description('Size of the machine with the GPU. Cost: its hourly price times the hours it trains; deallocated it costs its disk alone. The default has one NVIDIA T4 with 16 GB (https://learn.microsoft.com/azure/virtual-machines/sizes/gpu-accelerated/ncast4v3-series).')
param gpuVmSize string = 'Standard_NC4as_T4_v3'

@description('Size of the machine for server and endpoint. Cost: its hourly price times 730 hours a month.')
param serverVmSize string = 'Standard_D4as_v5'

@description('Alert when the GPU machine ran for more than so many of the last 24 hours.')
@minValue(1)
@maxValue(23)
param gpuHoursADay int = 12

@description('Monthly budget of the resource group in the currency of the subscription; a warning at 80 %, another when it is forecast to be exceeded. It stops nothing.')
@minValue(1)
param monthlyBudget int = 500

@description('First day of a month, from which the budget counts.')
param budgetStart string = utcNow('yyyy-MM-01')

@description('Days after which run artefacts (checkpoints, predictions, reports of runs) are removed. Models, labels and folds stay.')
@minValue(7)
param runArtefactDays int = 400

@description('Days for which deleted or overwritten blobs can be restored.')
@minValue(7)
@maxValue(365)
param restoreDays int = 30

@description('How many copies of the data Azure keeps: in one place, in three zones, or also in another region. Cost rises in this order.')
@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GZRS'])
param storageSku string = 'Standard_ZRS'

@description('Tag of the images in the registry.')
param imageTag string = '0.1.0'

@description('Model whose champion the endpoint serves.')
param model string = 'brain_mri'

var suffix = uniqueString(resourceGroup().id)
var tags = { application: 'lightbox' }

module network 'network.bicep' = {
  name: 'network'
  params: {
    location: location
    prefix: prefix
    tags: tags
    clientPrefixes: clientPrefixes
  }
}

module identities 'identities.bicep' = {
  name: 'identities'
  params: {
    location: location
    prefix: prefix
    tags: tags
  }
}

module store 'store.bicep' = {
  name: 'store'
  params: {
    location: location
    name: '${prefix}${suffix}'
    tags: tags
    sku: storageSku
    restoreDays: restoreDays
    runArtefactDays: runArtefactDays
    subnetIds: network.outputs.subnetIds
    adminAddresses: adminAddresses
    serverPrincipalId: identities.outputs.serverPrincipalId
    gpuPrincipalId: identities.outputs.gpuPrincipalId
  }
}

module vault 'vault.bicep' = {
  name: 'vault'
  params: {
    location: location
    name: '${take(prefix, 9)}-${suffix}'
    tags: tags
    restoreDays: restoreDays
    subnetIds: network.outputs.subnetIds
    adminAddresses: adminAddresses
    readerPrincipalIds: [identities.outputs.serverPrincipalId, identities.outputs.gpuPrincipalId]
  }
}

module registry 'registry.bicep' = {
  name: 'registry'
  params: {
    location: location
    name: '${prefix}${suffix}'
    tags: tags
    readerPrincipalIds: [identities.outputs.serverPrincipalId, identities.outputs.gpuPrincipalId]
  }
}

module logs 'logs.bicep' = {
  name: 'logs'
  params: {
    location: location
    prefix: prefix
    tags: tags
  }
}

module server 'server.bicep' = {
  name: 'server'
  params: {
    location: location
    prefix: prefix
    tags: tags
    size: serverVmSize
    sshPublicKey: sshPublicKey
    subnetId: network.outputs.serverSubnetId
    privateAddress: network.outputs.serverAddress
    identityId: identities.outputs.serverId
    clientId: identities.outputs.serverClientId
    vaultUri: vault.outputs.uri
    registryHost: registry.outputs.host
    storageAccount: store.outputs.account
    imageTag: imageTag
    model: model
    collectionRuleId: logs.outputs.collectionRuleId
  }
}

module gpu 'gpu.bicep' = {
  name: 'gpu'
  params: {
    location: location
    prefix: prefix
    tags: tags
    size: gpuVmSize
    sshPublicKey: sshPublicKey
    subnetId: network.outputs.gpuSubnetId
    serverAddress: network.outputs.serverAddress
    identityId: identities.outputs.gpuId
    clientId: identities.outputs.gpuClientId
    vaultUri: vault.outputs.uri
    registryHost: registry.outputs.host
    storageAccount: store.outputs.account
    imageTag: imageTag
    collectionRuleId: logs.outputs.collectionRuleId
    wakerPrincipalId: identities.outputs.serverPrincipalId
  }
}

module alerts 'alerts.bicep' = {
  name: 'alerts'
  params: {
    location: location
    prefix: prefix
    tags: tags
    emails: alertEmails
    workspaceId: logs.outputs.workspaceId
    gpuVmId: gpu.outputs.vmId
    gpuHoursADay: gpuHoursADay
    monthlyBudget: monthlyBudget
    budgetStart: budgetStart
  }
}

@description('For the data set\'s file: compute: {pool: gpu, driver: {kind: azure-vm, subscription_id, resource_group, vm_name}}.')
output computeDriver object = {
  kind: 'azure-vm'
  subscription_id: subscription().subscriptionId
  resource_group: resourceGroup().name
  vm_name: gpu.outputs.vmName
}

@description('Where the Prefect UI and the endpoint are, from inside the network.')
output addresses object = {
  prefect: 'http://${network.outputs.serverAddress}:4200'
  endpoint: 'http://${network.outputs.serverAddress}:8000'
}

@description('Where images are pushed, secrets are set and data lie.')
output names object = {
  registry: registry.outputs.host
  vault: vault.outputs.name
  storageAccount: store.outputs.account
}
