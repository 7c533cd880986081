// The machine that is always there: Prefect server, CPU worker and endpoint, by infra/containers/compose.yaml.
// Cost: hourly price times 730 hours a month, and its disk, which holds the Prefect database: back it up.
param location string
param prefix string
param tags object
param size string
param sshPublicKey string
param subnetId string
param privateAddress string
param identityId string
param clientId string
param vaultUri string
param registryHost string
param storageAccount string
param imageTag string
param model string
param collectionRuleId string

var settings = [
  'LIGHTBOX_CLIENT_ID=${clientId}'
  'LIGHTBOX_VAULT=${vaultUri}'
  'LIGHTBOX_REGISTRY=${registryHost}'
  'LIGHTBOX_SECRETS=postgres-password prefect-auth endpoint-key label-studio-token'
  'LIGHTBOX_MODEL=${model}'
  'LIGHTBOX_DATA_SETS=/etc/lightbox/data_sets'
  'PRIVATE_ADDRESS=${privateAddress}'
  'WORKER_CPU_IMAGE=${registryHost}/lightbox/worker-cpu:${imageTag}'
  'ENDPOINT_IMAGE=${registryHost}/lightbox/endpoint:${imageTag}'
  'AZURE_CLIENT_ID=${clientId}'
  'AZURE_STORAGE_ACCOUNT_NAME=${storageAccount}'
]
var environment = join(settings, '\n')
var withEnvironment = replace(loadTextContent('server.cloud-init.yaml'), '@ENVIRONMENT@', base64(environment))
var withMachine = replace(withEnvironment, '@MACHINE@', base64(loadTextContent('machine.py')))
var withCompose = replace(withMachine, '@COMPOSE@', base64(loadTextContent('../containers/compose.yaml')))
var cloudInit = replace(withCompose, '@COMPOSE_AZURE@', base64(loadTextContent('compose.azure.yaml')))

resource card 'Microsoft.Network/networkInterfaces@2024-05-01' = {
  name: '${prefix}-server'
  location: location
  tags: tags
  properties: {
    ipConfigurations: [
      {
        name: 'private'
        properties: {
          subnet: { id: subnetId }
          privateIPAllocationMethod: 'Static'
          privateIPAddress: privateAddress
        }
      }
    ]
  }
}

resource machine 'Microsoft.Compute/virtualMachines@2024-07-01' = {
  // checkov:skip=CKV_AZURE_50: the one extension is Azure's own agent, whose heartbeats the alert counts
  name: '${prefix}-server'
  location: location
  tags: tags
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    hardwareProfile: { vmSize: size }
    networkProfile: { networkInterfaces: [{ id: card.id }] }
    securityProfile: {
      encryptionAtHost: true
      securityType: 'TrustedLaunch'
      uefiSettings: { secureBootEnabled: true, vTpmEnabled: true }
    }
    osProfile: {
      computerName: '${prefix}-server'
      adminUsername: 'lightbox'
      allowExtensionOperations: true
      customData: base64(cloudInit)
      linuxConfiguration: {
        disablePasswordAuthentication: true
        ssh: { publicKeys: [{ path: '/home/lightbox/.ssh/authorized_keys', keyData: sshPublicKey }] }
      }
    }
    storageProfile: {
      imageReference: { publisher: 'Canonical', offer: 'ubuntu-24_04-lts', sku: 'server', version: 'latest' }
      osDisk: {
        createOption: 'FromImage'
        deleteOption: 'Delete'
        diskSizeGB: 128
        managedDisk: { storageAccountType: 'Premium_LRS' }
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
  name: '${prefix}-server'
  scope: machine
  properties: { dataCollectionRuleId: collectionRuleId }
}
