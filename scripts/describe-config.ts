// Writes docs/configuration.md out of the comments of config.proto and what it refers to. With --check it only looks.
import { execFile } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { createFileRegistry, type DescField, type DescMessage, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { getComments } from "@bufbuild/protoplugin";
import { buildDirectory, root } from "./buf.ts";
import { deriveImports } from "./derive-imports.ts";

const page = join(root, "docs", "configuration.md");

const introduction = `<!-- Made by \`npm run generate\` from proto/retake/v1/config.proto and options.proto. Change those. -->

# Configuration

Every key of \`retake.yaml\`, with its type, default and limits. The file is the protobuf JSON form of
\`retake.v1.ServerConfig\`, written as YAML; an empty one is complete. Durations are in seconds with their unit (\`30s\`,
\`0.5s\`). What is wrong with a file is told by line when the server starts.
`;

await deriveImports(join(buildDirectory, "imports"));
const { stdout } = await promisify(execFile)(join(root, "node_modules", ".bin", "buf"), ["build", "--output", "-"], {
  cwd: root,
  encoding: "buffer",
  maxBuffer: 64 * 1024 * 1024,
});
const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, stdout));
const config = registry.getMessage("retake.v1.ServerConfig");
if (config === undefined) throw new Error("there is no retake.v1.ServerConfig");

const wanted = [introduction, ...sections(config)].join("\n");
const present = await readFile(page, "utf8").catch(() => undefined);
if (wanted !== present) {
  if (process.argv.includes("--check")) {
    console.error(
      "docs/configuration.md is not what config.proto says. Run `npm run generate` and commit what it changes.",
    );
    process.exitCode = 1;
  } else {
    await mkdir(dirname(page), { recursive: true });
    await writeFile(page, wanted);
    console.log("written: docs/configuration.md");
  }
}

/** A section for the message and each that it leads to, in the order in which a reader meets them. */
function sections(first: DescMessage): string[] {
  const messages = [first];
  for (const message of messages) {
    for (const field of message.fields) {
      const next = field.message;
      if (next?.typeName.startsWith("retake.v1.") === true && !messages.includes(next)) messages.push(next);
    }
  }
  return messages.map(
    (message) =>
      `## ${message === first ? "At the top" : message.name}\n\n${commentOf(message)}\n\n` +
      `| key | type | what it does, its default and limits |\n| --- | --- | --- |\n` +
      message.fields.map((field) => `| \`${field.name}\` | ${typeOf(field)} | ${commentOf(field)} |\n`).join(""),
  );
}

/** @throws when there is none: every key is documented */
function commentOf(element: DescMessage | DescField): string {
  const text = getComments(element).leading?.trim() ?? "";
  if (text === "") throw new Error(`${element} has no comment`);
  return text
    .split("\n")
    .map((line) => line.trim())
    .join(" ")
    .replaceAll("|", "\\|");
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case "map":
      return `map of text to ${valueType(field)}`;
    case "list":
      return `list of ${valueType(field)}`;
    default:
      return valueType(field);
  }
}

function valueType({ message, enum: choices, scalar }: DescField): string {
  if (message?.typeName === "google.protobuf.Duration") return "duration";
  if (message?.typeName.startsWith("retake.v1.") === true) return `[${message.name}](#${message.name.toLowerCase()})`;
  if (message !== undefined) return `\`${message.typeName}\``;
  if (choices !== undefined) {
    const names = choices.values.filter(({ number }) => number !== 0).map(({ name }) => `\`${name}\``);
    return `one of ${names.join(", ")}`;
  }
  switch (scalar) {
    case ScalarType.BOOL:
      return "true or false";
    case ScalarType.STRING:
      return "text";
    case ScalarType.FLOAT:
    case ScalarType.DOUBLE:
      return "number";
    case ScalarType.BYTES:
      return "bytes in base64";
    default:
      return "whole number";
  }
}
