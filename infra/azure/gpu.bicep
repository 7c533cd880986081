// The machine with the GPU: it boots, starts a worker of the pool gpu, and is deallocated by the driver azure-vm.
// Cost: hourly price times hours allocated, and its disk always. Powered off from inside it goes on costing.
param location string
param prefix string
param tags object
param size string
param sshPublicKey string
param subnetId string
param serverAddress string
param identityId string
param clientId string
param vaultUri string
param registryHost string
param storageAccount string
param imageTag string
param collectionRuleId string
param wakerPrincipalId string

var settings = [
  'LIGHTBOX_CLIENT_ID=${clientId}'
  'LIGHTBOX_VAULT=${vaultUri}'
  'LIGHTBOX_REGISTRY=${registryHost}'
  'LIGHTBOX_SECRETS=prefect-auth'
  'LIGHTBOX_IMAGE=${registryHost}/lightbox/worker-gpu:${imageTag}'
  'AZURE_CLIENT_ID=${clientId}'
  'AZURE_STORAGE_ACCOUNT_NAME=${storageAccount}'
  'PREFECT_API_URL=http://${serverAddress}:4200/api'
]
var environment = join(settings, '\n')
var withMachine = replace(loadTextContent('gpu.cloud-init.yaml'), '@MACHINE@', base64(loadTextContent('machine.py')))
var cloudInit = replace(withMachine, '@ENVIRONMENT@', base64(environment))

resource card 'Microsoft.Network/networkInterfaces@2024-05-01' = {
  name: '${prefix}-gpu'
  location: location
  tags: tags
  properties: {
    ipConfigurations: [
      { name: 'private', properties: { subnet: { id: subnetId }, privateIPAllocationMethod: 'Dynamic' } }
    ]
  }
}

// An image with NVIDIA's driver, Docker and the container toolkit: https://github.com/Azure/azhpc-images
resource machine 'Microsoft.Compute/virtualMachines@2024-07-01' = {
  // checkov:skip=CKV_AZURE_50: the one extension is Azure's own agent, whose heartbeats the alert counts
  name: '${prefix}-gpu'
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    hardwareProfile: { vmSize: size }
    networkProfile: { networkInterfaces: [{ id: card.id }] }
    securityProfile: { encryptionAtHost: true }
    osProfile: {
      computerName: '${prefix}-gpu'
      adminUsername: 'lightbox'
      allowExtensionOperations: true
      customData: base64(cloudInit)
      linuxConfiguration: {
        disablePasswordAuthentication: true
        ssh: { publicKeys: [{ path: '/home/lightbox/.ssh/authorized_keys', keyData: sshPublicKey }] }
      }
    }
    storageProfile: {
      imageReference: { publisher: 'microsoft-dsvm', offer: 'ubuntu-hpc', sku: '2204', version: 'latest' }
      osDisk: {
        createOption: 'FromImage'
        deleteOption: 'Delete'
        diskSizeGB: 256
        managedDisk: { storageAccountType: 'StandardSSD_LRS' }
      }
    }
    diagnosticsProfile: { bootDiagnostics: { enabled: true } }
  }
}

resource agent 'Microsoft.Compute/virtualMachines/extensions@2024-07-01' = {
  parent: machine
  name: 'AzureMonitorLinuxAgent'
  location: location
  tags: tags
  properties: {
    publisher: 'Microsoft.Azure.Monitor'
    type: 'AzureMonitorLinuxAgent'
    typeHandlerVersion: '1.0'
    autoUpgradeMinorVersion: true
    enableAutomaticUpgrade: true
    settings: {
      authentication: {
        managedIdentity: { 'identifier-name': 'mi_res_id', 'identifier-value': identityId }
      }
    }
  }
}

resource collection 'Microsoft.Insights/dataCollectionRuleAssociations@2022-06-01' = {
  name: '${prefix}-gpu'
  scope: machine
  properties: { dataCollectionRuleId: collectionRuleId }
}

// What the driver azure-vm needs, and not one action more (tasks/compute/azure_vm.py).
resource waker 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'waker')
  properties: {
    roleName: 'Lightbox waker (${resourceGroup().name})'
    description: 'Starts and deallocates the machine of a Prefect work pool.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.Compute/virtualMachines/read'
          'Microsoft.Compute/virtualMachines/instanceView/read'
          'Microsoft.Compute/virtualMachines/start/action'
          'Microsoft.Compute/virtualMachines/deallocate/action'
        ]
        notActions: []
      }
    ]
  }
}

resource wakes 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(machine.id, wakerPrincipalId, waker.id)
  scope: machine
  properties: {
    principalId: wakerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: waker.id
  }
}

output vmId string = machine.id
output vmName string = machine.name
