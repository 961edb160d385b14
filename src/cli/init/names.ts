import { UsageError } from "../cli-error.ts";

/** What a new project calls its things. */
export interface ProjectNames {
  /** The name in package.json. */
  readonly npmName: string;
  /** The protobuf package, with its version: `studio.v1`. */
  readonly packageName: string;
  /** `StudioService`. */
  readonly serviceName: string;
  /** The import path of the contract: `studio/v1/studio_service.proto`. */
  readonly contract: string;
}

/** Packages of what every contract imports: a second owner of one would be confusing at best. */
const taken = new Set(["retake", "google", "buf", "grpc"]);

/** Names after a directory, or after the protobuf package that was asked for. @throws UsageError for one that cannot be */
export function projectNames(directoryName: string, asked: string | undefined): ProjectNames {
  const packageName = asked === undefined ? `${segmentFrom(directoryName)}.v1` : checked(asked);
  const segments = packageName.split(".");
  const [last = "", version = ""] = segments.slice(-2);
  const base = segments.length > 1 && /^v\d/.test(version) ? last : version;
  const pascal = base.replace(/(^|_)([a-z0-9])/g, (_, __, letter: string) => letter.toUpperCase());
  return {
    npmName: npmNameFrom(directoryName),
    packageName,
    serviceName: `${pascal}Service`,
    contract: `${segments.join("/")}/${base}_service.proto`,
  };
}

function checked(asked: string): string {
  if (!/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/.test(asked)) {
    throw new UsageError(
      `--package: "${asked}" is no package of protobuf: lower-case words with dots between them, like studio.v1`,
    );
  }
  const [first = ""] = asked.split(".");
  if (taken.has(first)) throw new UsageError(`--package: ${first} belongs to others: begin with a name of your own`);
  return /(^|\.)v\d+[a-z0-9]*$/.test(asked) ? checkedVersion(asked) : `${asked}.v1`;
}

function checkedVersion(asked: string): string {
  if (!asked.includes(".")) throw new UsageError(`--package: "${asked}" is a version alone: studio.${asked}`);
  return asked;
}

function segmentFrom(directoryName: string): string {
  const name = directoryName
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^[_0-9]+|_+$/g, "");
  return name === "" || taken.has(name) || /^v\d+$/.test(name) ? "studio" : name;
}

function npmNameFrom(directoryName: string): string {
  const name = directoryName
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .replace(/^[._-]+|-+$/g, "");
  // A package cannot depend on one of its own name.
  return name === "" || name === "retake" || name === "node_modules" ? "studio" : name.slice(0, 100);
}
