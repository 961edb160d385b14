import { Agent, type RequestOptions } from "node:http";
import { type ClientHttp2Session, connect } from "node:http2";
import { Agent as TlsAgent } from "node:https";
import { connect as connectPlain } from "node:net";
import { connect as connectTls } from "node:tls";

/** Where requests come from. */
export interface Place {
  /** The address that connections are made from. */
  readonly source: string;
  /** What connections show: PEM. Default: none. */
  readonly certificate?: { readonly cert: string; readonly key: string };
}

export interface ClientsOptions {
  readonly grpcPort: number;
  readonly webPort: number;
  /** Whether both ports speak TLS. Default: false. */
  readonly tls?: boolean;
  /** Default: this machine, four times: what one connection is told ends what else is under way on it. */
  readonly places?: readonly Place[];
}

const here: Place = { source: "127.0.0.1" };

/** Connections, made anew when the server has closed one. */
export class Clients {
  readonly #options: ClientsOptions;
  readonly #places: readonly Place[];
  readonly #sessions: ClientHttp2Session[] = [];
  readonly #agents: Agent[];
  #next = 0;

  constructor(options: ClientsOptions) {
    this.#options = options;
    this.#places = options.places ?? [here, here, here, here];
    const each = { keepAlive: true, maxSockets: Math.ceil(128 / this.#places.length) };
    this.#agents = this.#places.map((place) => {
      if (options.tls !== true) return new Agent({ ...each, localAddress: place.source });
      return new TlsAgent({ ...each, localAddress: place.source, ...shown(place) });
    });
  }

  session(): ClientHttp2Session {
    const at = this.#nextPlace();
    let session = this.#sessions[at];
    if (session === undefined || session.closed || session.destroyed) {
      const place = this.#places[at] ?? here;
      const { tls, grpcPort } = this.#options;
      const to = { host: "127.0.0.1", port: grpcPort, localAddress: place.source };
      session = connect(`${tls === true ? "https" : "http"}://127.0.0.1:${grpcPort}`, {
        createConnection: () =>
          tls === true ? connectTls({ ...to, ...shown(place), ALPNProtocols: ["h2"] }) : connectPlain(to),
      });
      session.on("error", () => undefined);
      this.#sessions[at] = session;
    }
    return session;
  }

  /** How a request to the web port is sent. */
  web(): RequestOptions {
    const { tls, webPort } = this.#options;
    const agent = this.#agents[this.#nextPlace()];
    return { host: "127.0.0.1", port: webPort, protocol: tls === true ? "https:" : "http:", agent };
  }

  close(): void {
    for (const session of this.#sessions) session?.destroy();
    for (const agent of this.#agents) agent.destroy();
  }

  #nextPlace(): number {
    this.#next = (this.#next + 1) % this.#places.length;
    return this.#next;
  }
}

function shown({ certificate }: Place) {
  // Whom the server is taken for is not what is tested.
  return { rejectUnauthorized: false, ...certificate };
}
