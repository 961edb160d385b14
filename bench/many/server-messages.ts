/** What the process of a server is started with, as its one argument, in JSON. */
export type ManyOrder =
  /** Streams of bare grpc-js that say nothing until they are told to, and calls that wait to be released. */
  | { readonly kind: "bare" }
  /** Calls of bare grpc-js that are durable twice. */
  | { readonly kind: "durable"; readonly directory: string }
  | {
      readonly kind: "retake";
      readonly directory: string;
      /** Whether runs wait until they are released. */
      readonly held: boolean;
      /** Runs that work at once. Default: the server's. */
      readonly limit?: number;
    }
  /** Runs that take time and a core, so many at once and so many in line; others fail at their first attempt. */
  | {
      readonly kind: "working";
      readonly directory: string;
      readonly limit: number;
      readonly queueLimit: number;
    }
  /** Runs that take no time, by a server that is in trouble, or gets into it. */
  | { readonly kind: "shedding"; readonly directory: string; readonly trouble: Trouble }
  /** Runs that a breaker watches, so many at once. */
  | { readonly kind: "breaker"; readonly directory: string; readonly limit: number }
  /** Runs of a back-end that listens at this port, watched by breakers; one of its workflows has a fallback in the server itself. */
  | { readonly kind: "remote"; readonly directory: string; readonly backendPort: number }
  /** So many alert rules and series of metrics, and somebody who is told. */
  | {
      readonly kind: "alerting";
      readonly directory: string;
      readonly receiver: string;
      readonly rules: number;
      readonly series: number;
    }
  /** So many series of metrics, and the web port for those who read them. */
  | { readonly kind: "scraped"; readonly directory: string; readonly series: number }
  /** No server: series of metrics alone, once they are asked for. */
  | { readonly kind: "series" };

/** What of a server is in trouble. */
export type Trouble = "journal" | "memory" | "event-loop";

export type ManyWish =
  | { readonly kind: "memory" }
  /** Lets go what is held, now and from now on. */
  | { readonly kind: "release" }
  /** Says so much, so often. */
  | { readonly kind: "emit"; readonly count: number; readonly intervalMs: number }
  /** How many runs or calls are held. */
  | { readonly kind: "held" }
  /** What has been done since this was last asked. */
  | { readonly kind: "progress" }
  /** Holds the event loop up for so long, so often. */
  | { readonly kind: "burn"; readonly burnMs: number; readonly count: number }
  /** What an alert rule goes by is measured to be that. */
  | { readonly kind: "level"; readonly value: number }
  /** Keeps so many series, with samples of six hours. */
  | { readonly kind: "fill"; readonly series: number }
  /** Evaluates so many rules over them, so often; what each time took, in ms of a core. */
  | { readonly kind: "evaluate"; readonly rules: number; readonly rounds: number };

export interface Progress {
  readonly attempts: number;
  /** The most that worked at once. */
  readonly most: number;
  /** Includes the ms between two looks at the event loop. */
  readonly eventLoopDelayP99Ms: number;
  readonly eventLoopDelayMaxMs: number;
}

export interface ManyReady {
  /** 0 where nothing listens. */
  readonly port: number;
  /** 0 where there is none. */
  readonly webPort: number;
  /** From the call that serves until it did. */
  readonly listenMs: number;
}

export interface MemoryUse {
  /** Of the whole process. */
  readonly residentBytes: number;
  /** What is reachable from the server's main thread, in and out of V8's heap. */
  readonly reachableBytes: number;
}
