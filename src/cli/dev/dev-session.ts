import { resolve } from "node:path";
import { connectRetake, type RetakeClient } from "../../client/index.ts";
import type { CliIo } from "../io.ts";
import { exists } from "../sources/tools.ts";
import { type Build, ProjectBuilder } from "./build-project.ts";
import { callLines, type ServerPlace } from "./call-lines.ts";
import { explainFailure } from "./explain-failure.ts";
import type { Project } from "./project.ts";
import type { DevReporter } from "./reporter.ts";
import { RunFeed } from "./run-feed.ts";
import type { WorkerOrder } from "./worker-messages.ts";
import { type Listening, startWorker, type Worker, type WorkerFailure } from "./worker-process.ts";

export interface DevOptions {
  readonly dataDirectory?: string | undefined;
  readonly grpcPort?: number | "off" | undefined;
  readonly webPort?: number | "off" | undefined;
}

/** How often files are looked at: as soon as one has switched to the terminal, it is done. */
const pollMs = 200;

type Built = Extract<Build, { kind: "built" }>;

/** Serves a project until it is interrupted, and whatever becomes of the project meanwhile. */
export class DevSession {
  readonly #project: Project;
  readonly #options: DevOptions;
  readonly #reporter: DevReporter;
  readonly #io: CliIo;
  readonly #builder: ProjectBuilder;
  readonly #feed: RunFeed;
  #worker: Worker | undefined;
  /** Set when the worker has ended by itself: the same files are then served anew. */
  #lost = false;
  #retake: RetakeClient | undefined;
  #stopFollowing: () => void = () => undefined;
  /** The ports that were taken when any would do: they stay the same, so that callers find the next server. */
  #ports: Pick<WorkerOrder, "grpcPort" | "webPort"> = {};

  constructor(project: Project, options: DevOptions, reporter: DevReporter, io: CliIo) {
    this.#project = project;
    this.#options = options;
    this.#reporter = reporter;
    this.#io = io;
    this.#builder = new ProjectBuilder(project, io);
    this.#feed = new RunFeed(io.clock, {
      onUpdate: (run, update) => {
        if (this.#retake !== undefined) reporter.run(run, update, this.#retake);
      },
      onMany: (count) => reporter.manyRuns(count),
    });
  }

  async run(): Promise<void> {
    const refreshed = await this.#builder.refreshImports();
    if (refreshed.length > 0) this.#reporter.said(`Brought up to date in imports/: ${refreshed.join(", ")}`);
    try {
      while (!this.#io.signal.aborted) {
        const state = await this.#builder.state();
        await this.#replace();
        await this.#changed(state);
      }
    } catch (error) {
      if (!this.#io.signal.aborted) throw error;
    } finally {
      this.#stopFollowing();
      await this.#worker?.stop();
      this.#retake?.close();
    }
  }

  async #changed(state: string): Promise<void> {
    while (!this.#io.signal.aborted && !this.#lost) {
      await new Promise<void>((done) => {
        this.#io.clock.setTimeout(done, pollMs);
      });
      if ((await this.#builder.state()) !== state) return;
    }
    // What ends at once would otherwise be started without a pause.
    if (this.#lost) {
      await new Promise<void>((done) => {
        this.#io.clock.setTimeout(done, 5 * pollMs);
      });
    }
    this.#lost = false;
  }

  async #replace(): Promise<void> {
    this.#reporter.working(this.#worker === undefined ? "starting" : "changed: building, then starting anew");
    const build = await this.#builder.build();
    if (build.kind === "broken") {
      this.#reporter.broken(build.findings, this.#worker !== undefined);
      return;
    }
    this.#reporter.warned(build.warnings);
    const candidate = await startWorker(await this.#order(), this.#events(), this.#io);
    if ("kind" in candidate) return this.#failed(candidate.failure, build);
    await this.#letGo();
    const listening = await candidate.listen();
    if (listening.kind === "failed") return this.#failed(listening.failure, build);
    this.#worker = candidate;
    this.#listens(listening, build);
  }

  async #failed(failure: WorkerFailure, { contracts }: Built): Promise<void> {
    this.#reporter.broken([await explainFailure(failure, this.#project, contracts)], this.#worker !== undefined);
  }

  async #letGo(): Promise<void> {
    this.#stopFollowing();
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.stop();
    this.#retake?.close();
    this.#retake = undefined;
  }

  #listens({ grpc, web }: Listening, { config, contracts }: Built): void {
    this.#ports = {
      ...(grpc && { grpcPort: grpc.port }),
      ...(web && { webPort: web.port }),
    };
    const place: ServerPlace = {
      ...(grpc && { grpc: { ...grpc, tls: config.grpc?.tls !== undefined } }),
      ...(web && { web: { ...web, tls: config.web?.tls !== undefined } }),
    };
    this.#reporter.serving(
      place,
      [...contracts.workflows.values()].map((workflow) => callLines(workflow, contracts, place)),
    );
    // Runs are seen over the gRPC port, and in plain text: certificates of one's own machine prove nothing to anybody.
    if (place.grpc === undefined || place.grpc.tls) return;
    const { clock, random } = this.#io;
    const stop = new AbortController();
    this.#stopFollowing = () => stop.abort();
    const target = `${place.grpc.host.includes(":") ? `[${place.grpc.host}]` : place.grpc.host}:${place.grpc.port}`;
    this.#retake = connectRetake({ target, retryForMs: 0, reconnectForMs: 0, clock, random });
    void this.#feed.follow(this.#retake, stop.signal);
  }

  #events() {
    return {
      onLog: ({ level, message, stack }: { level: "warn" | "error"; message: string; stack: string }) =>
        this.#reporter.logged(level, message, stack),
      onLost: (code: number | null, signal: string | null) => {
        this.#worker = undefined;
        this.#lost = true;
        this.#reporter.said(`The server has ended by itself (${signal ?? `exit code ${code}`}); starting it again.`);
      },
    };
  }

  async #order(): Promise<WorkerOrder> {
    const { directory, handlers, configFile } = this.#project;
    const { dataDirectory } = this.#options;
    const grpcPort = kept(this.#options.grpcPort, this.#ports.grpcPort);
    const webPort = kept(this.#options.webPort, this.#ports.webPort);
    return {
      directory: resolve(directory),
      handlers: resolve(handlers),
      ...((await exists(configFile)) && { configFile: resolve(configFile) }),
      ...(dataDirectory === undefined ? {} : { dataDirectory: resolve(dataDirectory) }),
      ...(grpcPort === undefined ? {} : { grpcPort }),
      ...(webPort === undefined ? {} : { webPort }),
    };
  }
}

/** Of a free port that was asked for, the one that was got. */
function kept(asked: number | "off" | undefined, got: number | "off" | undefined): number | "off" | undefined {
  return asked === 0 && got !== undefined ? got : asked;
}
