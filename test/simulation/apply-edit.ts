import type { Edit } from "./mutation-list.ts";

/** A source with an edit. @throws Error unless what is edited stands there once */
export function applyEdit(source: string, { file, from, to }: Edit): string {
  const parts = source.split(from);
  if (parts.length !== 2) {
    throw new Error(`src/${file} has ${parts.length - 1} times what is edited, and not once: ${from}`);
  }
  return parts.join(to);
}
