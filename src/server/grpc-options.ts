/** Settings of a gRPC server that takes BatchCommands streams. */
import type { ServerOptions } from '@grpc/grpc-js'
import { GRPC_MESSAGE_BYTES_MAX } from '../base/limits.ts'

/** A client that says nothing for this long and does not answer a ping is gone. */
const KEEPALIVE_TIME_MS = 60_000
const KEEPALIVE_TIMEOUT_MS = 20_000

/**
 * grpc-js never punishes the pings of clients, so nothing is set for them. It has no setting for
 * the receive window of a server (`grpc-node.flow_control_window` is read by clients only): 64 KiB
 * a stream and connection, refilled as messages are read. Session memory is not limited by default.
 *
 * `grpc.enable_channelz` stays on: without it grpc-js 1.14 keeps no list of sessions, and
 * forceShutdown leaves every connection open.
 */
export function grpcServerOptions(): ServerOptions {
  return {
    'grpc.max_receive_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': GRPC_MESSAGE_BYTES_MAX,
    'grpc.max_concurrent_streams': 65_536,
    'grpc.keepalive_time_ms': KEEPALIVE_TIME_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  }
}
