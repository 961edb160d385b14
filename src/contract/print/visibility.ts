import { SymbolVisibility } from "@bufbuild/protobuf/wkt";

/** The keyword before `message` and `enum` (edition 2024), with its space; empty where the file's default holds. */
export function visibility(value: SymbolVisibility): string {
  switch (value) {
    case SymbolVisibility.VISIBILITY_EXPORT:
      return "export ";
    case SymbolVisibility.VISIBILITY_LOCAL:
      return "local ";
    default:
      return "";
  }
}
