import type { RetakeServer } from "../../src/server/index.ts";
import { fetchWeb } from "./listening-server.ts";

/** What a server says at `/metrics`: values by name and labels, as they are written. */
export async function metricsOf({ web }: Pick<RetakeServer, "web">): Promise<ReadonlyMap<string, number>> {
  const { status, body } = await fetchWeb(web?.port ?? 0, "/metrics", { method: "GET", headers: {} });
  if (status !== 200) throw new Error(`there are no metrics: ${status} ${body.toString()}`);
  const lines = body.toString().split("\n");
  return new Map(
    lines
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const space = line.lastIndexOf(" ");
        return [line.slice(0, space), Number(line.slice(space + 1))] as const;
      }),
  );
}
