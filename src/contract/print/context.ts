import type { DescFile } from "@bufbuild/protobuf";
import { Edition } from "@bufbuild/protobuf/wkt";
import type { NamePrinter } from "./names.ts";
import type { OptionPrinter } from "./options.ts";
import type { SourceIndex } from "./source.ts";

/** What every part of the printer needs to know about the file. */
export interface PrintContext {
  readonly edition: DescFile["edition"];
  readonly names: NamePrinter;
  readonly options: OptionPrinter;
  readonly source: SourceIndex;
}

/** The way to an element within the file descriptor, as field numbers of descriptor.proto and indices: the key of its source info. */
export type Path = readonly number[];

/** Whether the file is written as `edition = "…"`, with features in place of labels. */
export function usesEditions({ edition }: Pick<PrintContext, "edition">): boolean {
  return edition >= Edition.EDITION_2023;
}

/** The full name of what is called `name` in `scope`. */
export function qualify(scope: string, name: string): string {
  return scope === "" ? name : `${scope}.${name}`;
}
