import type { FileRegistry } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ReflectionError } from "../../src/backends/index.ts";
import { createMemoryStorage } from "../../src/runs/memory/index.ts";
import { createServer } from "../../src/server/index.ts";
import { createVirtualClock } from "../../src/testing/index.ts";
import { everyoneIsAdmin } from "../everyone-is-admin.ts";
import { compileFilm, contractFile, filmClient, filmService, startFilmBackend } from "./contract-files.ts";
import { rejection } from "./harness.ts";
import { recordingLogger } from "./listening-server.ts";

const render = "film.v1.FilmService/Render";
const messages = `
  message RenderRequest { string scene = 1 [(buf.validate.field).string.max_len = 20]; }
  message RenderResponse { string film = 1; }`;

let marked: FileRegistry;
let plain: FileRegistry;

beforeAll(async () => {
  marked = await compileFilm(
    `rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages}`,
  );
  plain = await compileFilm(`
    rpc Render(RenderRequest) returns (RenderResponse);
    rpc Upload(stream RenderRequest) returns (RenderResponse);
  } ${messages}`);
}, 60_000);

type Config = Parameters<typeof createServer>[0];

function gatewayOf(config: Config, options: Parameters<typeof createServer>[1] = {}) {
  const log = recordingLogger();
  const server = createServer(
    { security: everyoneIsAdmin, grpc: { port: 0 }, web: { disabled: true }, ...config } as Config,
    {
      openStorage: (_, clock) => createMemoryStorage({ clock }),
      log,
      ...options,
    },
  );
  onTestFinished(() => server.close({ drainTimeoutMs: 0 }));
  return { server, log: log.entries };
}

const echo = ({ scene }: Record<string, unknown>) => ({ film: `film of ${scene}` });

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const { port, stop } = await startFilmBackend(plain, echo);
  await stop();
  return port;
}

async function messageOf(listening: Promise<unknown>): Promise<string> {
  return listening.then(
    () => "it listens",
    (error: Error) => error.message,
  );
}

describe("a server with a back-end that tells its contracts", () => {
  it.each([[["v1"]], [["v1alpha"]], [["v1", "v1alpha"]]] as const)(
    "takes them by reflection %j",
    async (reflection) => {
      const backend = await startFilmBackend(marked, echo, { reflection });
      const { server } = gatewayOf({ backends: [{ endpoints: [{ target: backend.target }] }] });
      await server.listen();
      const call = filmClient(server.grpc?.port ?? 0, marked);
      expect((await call("Render", { scene: "sunset" }))["film"]).toBe("film of sunset");
      await rejection(call("Render", { scene: "x".repeat(21) }), Code.InvalidArgument);
    },
  );

  it("makes workflows of its methods where the configuration names them, and of no others", async () => {
    const backend = await startFilmBackend(plain, echo, { reflection: ["v1"] });
    const { server } = gatewayOf({
      backends: [{ endpoints: [{ target: backend.target }] }],
      workflows: { [render]: { retry: { maxAttempts: 2 } } },
    });
    await server.listen();
    const call = filmClient(server.grpc?.port ?? 0, plain);
    expect((await call("Render", { scene: "sunset" }))["film"]).toBe("film of sunset");
  });

  it("shares a service among all back-ends that tell it", async () => {
    const answers: string[] = [];
    const backends = await Promise.all(
      ["a", "b"].map((name) =>
        startFilmBackend(
          marked,
          async () => {
            answers.push(name);
            await new Promise((resolve) => setTimeout(resolve, 20));
            return {};
          },
          { reflection: ["v1"] },
        ),
      ),
    );
    const { server } = gatewayOf({ backends: backends.map(({ target }) => ({ endpoints: [{ target, slots: 1 }] })) });
    await server.listen();
    const call = filmClient(server.grpc?.port ?? 0, marked);
    await Promise.all(Array.from({ length: 6 }, () => call("Render")));
    expect(answers.filter((name) => name === "a")).toHaveLength(3);
  });

  it("asks for the contract of a service that nothing else brings, and for no other", async () => {
    const backend = await startFilmBackend(marked, echo, { reflection: ["v1"] });
    const named = (service: string) => ({ backends: [{ service, endpoints: [{ target: backend.target }] }] });
    const { server } = gatewayOf(named("film.v1.FilmService"));
    await server.listen();
    expect((await filmClient(server.grpc?.port ?? 0, marked)("Render", { scene: "a" }))["film"]).toBe("film of a");
    const unknown = gatewayOf(named("film.v1.FlimService"));
    expect(await messageOf(unknown.server.listen())).toMatch(/does not know the service film\.v1\.FlimService/);
  });

  it("takes contracts of a file over those that it tells, and needs it no more at the start", async () => {
    const file = contractFile();
    file.write(marked);
    const { server } = gatewayOf({
      contracts: [file.path],
      backends: [{ service: "film.v1.FilmService", endpoints: [{ target: `dns:///127.0.0.1:${await freePort()}` }] }],
    });
    await server.listen();
    expect(server.grpc?.port).toBeGreaterThan(0);
  });

  it("leaves services with handlers in this process to them", async () => {
    const backend = await startFilmBackend(marked, echo, { reflection: ["v1"] });
    const { server } = gatewayOf({ backends: [{ endpoints: [{ target: backend.target }] }] });
    server.implement(filmService(marked), { render: () => ({ film: "by hand" }) } as never);
    await server.listen();
    expect((await filmClient(server.grpc?.port ?? 0, marked)("Render"))["film"]).toBe("by hand");
  });

  it("waits for it, and says so, while it cannot be reached", async () => {
    const port = await freePort();
    const { server, log } = gatewayOf({ backends: [{ endpoints: [{ target: `dns:///127.0.0.1:${port}` }] }] });
    const listening = server.listen();
    await expect.poll(() => log.at(-1)?.message).toBe("waiting for a back-end, to ask it for its contracts");
    expect(log.at(-1)?.fields["problem"]).toMatch(/^the back-end dns:\/\/\/127\.0\.0\.1:\d+ cannot be reached: /);
    await startFilmBackend(marked, echo, { port, reflection: ["v1"] });
    await listening;
    expect((await filmClient(server.grpc?.port ?? 0, marked)("Render", { scene: "a" }))["film"]).toBe("film of a");
  });

  it("gives up after a minute, and says what to do", async () => {
    const port = await freePort();
    const clock = createVirtualClock();
    const { server, log } = gatewayOf(
      { backends: [{ endpoints: [{ target: `dns:///127.0.0.1:${port}` }] }] },
      { clock },
    );
    const failing = server.listen().catch((error: unknown) => error);
    let error: unknown;
    void failing.then((thrown) => {
      error = thrown;
    });
    await expect
      .poll(
        async () => {
          await clock.advance(1000);
          return error;
        },
        { timeout: 10_000, interval: 5 },
      )
      .toBeInstanceOf(ReflectionError);
    expect((error as ReflectionError).unreachable).toBe(true);
    const { message } = error as ReflectionError;
    expect(message).toMatch(/cannot be reached: .*ECONNREFUSED/);
    expect(message).toContain("(tried for 60 s)");
    expect(message).toContain("contracts: [contracts.binpb]\n  backends: [{ service: package.Service");
    expect(message).toMatch(/buf build -o.*\n.*protoc --include_imports.*\n.*retake serve --config FILE/);
    expect(log.filter(({ level }) => level === "warn").length).toBeLessThan(10);
  });

  it("stops waiting when it is told to stop", async () => {
    const { server, log } = gatewayOf({
      backends: [{ endpoints: [{ target: `dns:///127.0.0.1:${await freePort()}` }] }],
    });
    const listening = messageOf(server.listen());
    await expect.poll(() => log.length).toBeGreaterThan(0);
    await server.close();
    expect(await listening).toBe("the server has been closed");
  });

  it("keeps the contracts that it has told when it cannot be asked again", async () => {
    const backend = await startFilmBackend(marked, echo, { reflection: ["v1"] });
    const { server, log } = gatewayOf({ backends: [{ endpoints: [{ target: backend.target }] }] });
    await server.listen();
    await backend.stop();
    await server.reload();
    expect(log.map(({ message }) => message)).toContain(
      "a back-end cannot be asked for its contracts: those that it told before stay",
    );
    await startFilmBackend(marked, echo, { port: backend.port });
    expect((await filmClient(server.grpc?.port ?? 0, marked)("Render", { scene: "a" }))["film"]).toBe("film of a");
  });

  it("serves what the back-end has become when it is asked again", async () => {
    const first = await startFilmBackend(marked, echo, { reflection: ["v1"] });
    const { server, log } = gatewayOf({ backends: [{ endpoints: [{ target: first.target }] }] });
    await server.listen();
    await first.stop();
    const grown = await compileFilm(`
      rpc Render(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; }
      rpc Cut(RenderRequest) returns (RenderResponse) { option (retake.v1.workflow) = {}; } } ${messages}`);
    await startFilmBackend(grown, echo, { port: first.port, reflection: ["v1"] });
    await server.reload();
    expect(log.at(-1)?.fields).toMatchObject({ added: ["film.v1.FilmService/Cut"] });
    expect((await filmClient(server.grpc?.port ?? 0, grown)("Cut", { scene: "a" }))["film"]).toBe("film of a");
  });
});

describe("what a newcomer is told", () => {
  it("who has no reflection: how to turn it on, and how to do without", async () => {
    const backend = await startFilmBackend(plain, echo);
    const { server } = gatewayOf({ backends: [{ endpoints: [{ target: backend.target }] }] });
    const message = await messageOf(server.listen());
    expect(message).toContain(`the back-end ${backend.target} does not answer gRPC reflection (v1 and v1alpha)`);
    expect(message).toContain("pip install grpcio-reflection");
    expect(message).toContain("contracts: [contracts.binpb]\n  backends: [{ service: package.Service");
    expect(message).toMatch(/buf build -o.*\n.*protoc --include_imports.*\n.*retake serve --config FILE/);
  });

  it("whose back-end has no workflow: the lines that make some", async () => {
    const backend = await startFilmBackend(plain, echo, { reflection: ["v1"] });
    const { server } = gatewayOf({ backends: [{ endpoints: [{ target: backend.target }] }] });
    const message = await messageOf(server.listen());
    expect(message).toContain(`the back-end ${backend.target}: no method of film.v1.FilmService is a workflow`);
    expect(message).toContain(`  workflows:\n    ${render}: {}`);
    expect(message).not.toContain("Upload");
  });

  it("who names a file that is not there, or a service without handlers", async () => {
    const missing = gatewayOf({ contracts: ["/nowhere/film.binpb"] });
    expect(await messageOf(missing.server.listen())).toMatch(
      /^\/nowhere\/film\.binpb: cannot be read: there is no such file/,
    );
    const idle = gatewayOf({ backends: [{ service: "film.v1.FilmService", endpoints: [{ target: "in-process" }] }] });
    expect(await messageOf(idle.server.listen())).toMatch(
      /^film\.v1\.FilmService: is configured under `backends`, but no handlers implement it/,
    );
  });
});
