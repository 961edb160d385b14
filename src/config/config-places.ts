import type { ServerConfig } from "../../gen/retake/v1/config_pb.js";
import { ConfigError, type ConfigProblem } from "./config-error.ts";

/** Where the fields of a configuration stand in the file that it was read from. */
export interface ConfigPlaces {
  readonly fileName: string;
  /** Of a field that is not in the file: of what is around it, if that is. */
  readonly positionOf: (field: string) => ConfigProblem["position"];
}

const places = new WeakMap<object, ConfigPlaces>();

export function rememberPlaces(config: object, of: ConfigPlaces): void {
  places.set(config, of);
}

/** The error that a configuration has led to, with the file's lines where it was read from one: what to mend is there. */
export function withPlaces(error: unknown, config: ServerConfig): unknown {
  const of = places.get(config);
  if (of === undefined || !(error instanceof ConfigError)) return error;
  if (error.problems.some(({ position }) => position !== undefined)) return error;
  const problems = error.problems.map((problem) => {
    const position = of.positionOf(problem.field);
    return { ...problem, ...(position && { position }) };
  });
  return new ConfigError(of.fileName, problems, error.cause === undefined ? undefined : { cause: error.cause });
}
