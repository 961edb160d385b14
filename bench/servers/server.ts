/** A server of the bench, listening on 127.0.0.1. */
export interface BenchServer {
  readonly port: number;
  /** What each call shows. */
  readonly headers?: readonly (readonly [name: string, value: string])[];
  close(): Promise<void>;
}
