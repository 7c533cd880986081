// Who the two machines are. What each may do stands beside what it may do it to.
param location string
param prefix string
param tags object

resource server 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${prefix}-server'
  location: location
  tags: tags
}

resource gpu 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${prefix}-gpu'
  location: location
  tags: tags
}

output serverId string = server.id
output serverClientId string = server.properties.clientId
output serverPrincipalId string = server.properties.principalId
output gpuId string = gpu.id
output gpuClientId string = gpu.properties.clientId
output gpuPrincipalId string = gpu.properties.principalId
