import { create, toBinary } from "@bufbuild/protobuf";
import { WatchRunRequestSchema } from "../../gen/retake/v1/run_service_pb.js";
import { bareWatchPath } from "./bare-server.ts";
import { until } from "./load.ts";
import { StreamConnection } from "./stream-connection.ts";

export interface WatcherOptions {
  readonly port: number;
  /** What is watched, in turn; without any it is the streams of the bare server. */
  readonly runIds: readonly string[];
  readonly watchers: number;
  readonly watchersPerConnection: number;
  readonly signal: AbortSignal;
}

/** Watchers that have seen the two events with which each run begins. */
export class Watchers implements Disposable {
  readonly #connections: StreamConnection[] = [];
  messages = 0;
  /** Told of each message. */
  onMessage: (message: Buffer) => void = () => undefined;

  static async open({ port, runIds, watchers, watchersPerConnection, signal }: WatcherOptions): Promise<Watchers> {
    const opened = new Watchers();
    try {
      const path = runIds.length === 0 ? bareWatchPath : "/retake.v1.RunService/WatchRun";
      for (let first = 0; first < watchers; first += watchersPerConnection) {
        signal.throwIfAborted();
        const connection = await StreamConnection.connect(port, path, (message) => {
          opened.messages++;
          opened.onMessage(message);
        });
        opened.#connections.push(connection);
        for (let index = first; index < Math.min(watchers, first + watchersPerConnection); index++) {
          const runId = runIds[index % runIds.length];
          const request = runId === undefined ? new Uint8Array() : requestTo(runId);
          connection.open(request, 1);
        }
        const expected = Math.min(watchers, first + watchersPerConnection) * 2;
        await until("what watchers see first", () => opened.#sound() && opened.messages >= expected, signal);
      }
    } catch (error) {
      opened[Symbol.dispose]();
      throw error;
    }
    return opened;
  }

  /** Until so many messages have come in all. @throws what goes wrong meanwhile */
  async seen(messages: number, signal: AbortSignal): Promise<void> {
    await until(
      `message ${messages} of the watchers`,
      () => this.#sound() && this.messages >= messages,
      signal,
      30_000,
    );
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections) {
      connection.close();
    }
  }

  #sound(): boolean {
    for (const connection of this.#connections) {
      connection.throwFailure();
    }
    return true;
  }
}

function requestTo(runId: string): Uint8Array {
  return toBinary(WatchRunRequestSchema, create(WatchRunRequestSchema, { runId }));
}
