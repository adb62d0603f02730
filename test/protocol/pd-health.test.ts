import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import {
  addHealthService,
  type HealthCheckRequest,
  type HealthCheckResponse,
  healthServiceDefinition,
  ServingStatus,
} from '../../src/protocol/health.ts'

test('Check follows the server', async () => {
  let serving = true
  const server = new Server()
  addHealthService(server, () => serving)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    )
  })
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = healthServiceDefinition.check!
  const check = (service: string): Promise<HealthCheckResponse> =>
    new Promise((resolve, reject) => {
      client.makeUnaryRequest<HealthCheckRequest, HealthCheckResponse>(
        path,
        requestSerialize,
        responseDeserialize,
        { service },
        (error, response) => (error === null ? resolve(response!) : reject(error)),
      )
    })
  for (const name of ['', 'tikvpb.Tikv', 'x'.repeat(500)]) {
    expect(await check(name)).toEqual({ status: ServingStatus.Serving })
  }
  serving = false
  expect(await check('')).toEqual({ status: ServingStatus.NotServing })
  client.close()
  server.forceShutdown()
})
