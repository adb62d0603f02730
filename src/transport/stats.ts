/** What the transport counts; names as they appear among the metrics. */

export class TransportStats {
  messagesSent = 0
  messagesReceived = 0
  /** Refused by send(), or queued on a link that failed. */
  messagesDropped = 0
  framesSent = 0
  framesReceived = 0
  bytesSent = 0
  bytesReceived = 0
  linksOpened = 0
  /** Failed attempts and broken links. */
  linkFailures = 0
  linksAccepted = 0
  linksRefused = 0
  /** Incoming links that were closed for what they sent. */
  linksCorrupt = 0

  /** `queued*` and `links*Open` are gauges of the moment, given by the caller. */
  snapshot(gauges: Record<string, number>): Record<string, number> {
    return {
      transport_messages_sent_total: this.messagesSent,
      transport_messages_received_total: this.messagesReceived,
      transport_messages_dropped_total: this.messagesDropped,
      transport_frames_sent_total: this.framesSent,
      transport_frames_received_total: this.framesReceived,
      transport_bytes_sent_total: this.bytesSent,
      transport_bytes_received_total: this.bytesReceived,
      transport_links_opened_total: this.linksOpened,
      transport_link_failures_total: this.linkFailures,
      transport_links_accepted_total: this.linksAccepted,
      transport_links_refused_total: this.linksRefused,
      transport_links_corrupt_total: this.linksCorrupt,
      ...gauges,
    }
  }
}
