/** A server of the bench, listening on 127.0.0.1. */
export interface BenchServer {
  readonly port: number;
  close(): Promise<void>;
}
