// One network, closed to the internet: machines go out through a NAT gateway and are reached from inside alone.
// Cost: the NAT gateway by the hour and by the GB (https://azure.microsoft.com/pricing/details/azure-nat-gateway/).
param location string
param prefix string
param tags object
param clientPrefixes array

var serverAddress = '10.71.1.10'
var fromClients = [
  for (client, i) in clientPrefixes: {
    name: 'clients-${i}'
    properties: {
      priority: 200 + i
      direction: 'Inbound'
      access: 'Allow'
      protocol: 'Tcp'
      sourceAddressPrefix: client
      sourcePortRange: '*'
      destinationAddressPrefix: serverAddress
      destinationPortRanges: ['4200', '8000']
    }
  }
]
var fromGpu = {
  name: 'gpu-to-prefect'
  properties: {
    priority: 100
    direction: 'Inbound'
    access: 'Allow'
    protocol: 'Tcp'
    sourceAddressPrefix: '10.71.2.0/24'
    sourcePortRange: '*'
    destinationAddressPrefix: serverAddress
    destinationPortRange: '4200'
  }
}
var denyInbound = {
  name: 'nobody-else'
  properties: {
    priority: 4096
    direction: 'Inbound'
    access: 'Deny'
    protocol: '*'
    sourceAddressPrefix: '*'
    sourcePortRange: '*'
    destinationAddressPrefix: '*'
    destinationPortRange: '*'
  }
}

resource serverRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: '${prefix}-server'
  location: location
  tags: tags
  properties: {
    securityRules: concat([fromGpu], fromClients, [denyInbound])
  }
}

resource gpuRules 'Microsoft.Network/networkSecurityGroups@2024-05-01' = {
  name: '${prefix}-gpu'
  location: location
  tags: tags
  properties: {
    securityRules: [denyInbound]
  }
}

resource outAddress 'Microsoft.Network/publicIPAddresses@2024-05-01' = {
  name: '${prefix}-out'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource out 'Microsoft.Network/natGateways@2024-05-01' = {
  name: '${prefix}-out'
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: {
    publicIpAddresses: [{ id: outAddress.id }]
  }
}

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: prefix
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.71.0.0/16'] }
    subnets: [
      {
        name: 'server'
        properties: {
          addressPrefix: '10.71.1.0/24'
          networkSecurityGroup: { id: serverRules.id }
          natGateway: { id: out.id }
          serviceEndpoints: [{ service: 'Microsoft.Storage' }, { service: 'Microsoft.KeyVault' }]
        }
      }
      {
        name: 'gpu'
        properties: {
          addressPrefix: '10.71.2.0/24'
          networkSecurityGroup: { id: gpuRules.id }
          natGateway: { id: out.id }
          serviceEndpoints: [{ service: 'Microsoft.Storage' }, { service: 'Microsoft.KeyVault' }]
        }
      }
    ]
  }
}

output serverAddress string = serverAddress
output serverSubnetId string = network.properties.subnets[0].id
output gpuSubnetId string = network.properties.subnets[1].id
output subnetIds array = [network.properties.subnets[0].id, network.properties.subnets[1].id]
