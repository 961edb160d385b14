import type { DescField, DescFile, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import type { SourceCodeInfo_Location } from "@bufbuild/protobuf/wkt";

/** Where an element stands in the source that its descriptor was compiled from. */
export interface Place {
  /** The import path of the file. */
  readonly file: string;
  /** From 1, as editors count. */
  readonly line: number;
  readonly column: number;
  /** The text of the comments above it, and of the one behind it. */
  readonly comments: readonly string[];
}

export type Placed = DescMethod | DescField | DescMessage | DescService;

/** The place of an element; undefined when its descriptor carries no source info, as that of generated code. */
export function placeOf(element: Placed): Place | undefined {
  const { file } = element.kind === "field" || element.kind === "rpc" ? element.parent : element;
  const location = locationsOf(file).get(pathOf(element).join());
  const [line, column] = location?.span ?? [];
  if (location === undefined || line === undefined || column === undefined) return undefined;
  return {
    file: file.proto.name,
    line: line + 1,
    column: column + 1,
    comments: [...location.leadingDetachedComments, location.leadingComments, location.trailingComments].filter(
      (text) => text !== "",
    ),
  };
}

const known = new WeakMap<DescFile, ReadonlyMap<string, SourceCodeInfo_Location>>();

function locationsOf(file: DescFile): ReadonlyMap<string, SourceCodeInfo_Location> {
  let locations = known.get(file);
  if (locations === undefined) {
    locations = new Map(
      (file.proto.sourceCodeInfo?.location ?? []).toReversed().map((location) => [location.path.join(), location]),
    );
    known.set(file, locations);
  }
  return locations;
}

/** By the field numbers of descriptor.proto. */
function pathOf(element: Placed): number[] {
  switch (element.kind) {
    case "service":
      return [6, element.file.proto.service.indexOf(element.proto)];
    case "rpc":
      return [...pathOf(element.parent), 2, element.parent.proto.method.indexOf(element.proto)];
    case "message":
      return element.parent === undefined
        ? [4, element.file.proto.messageType.indexOf(element.proto)]
        : [...pathOf(element.parent), 3, element.parent.proto.nestedType.indexOf(element.proto)];
    case "field":
      return [...pathOf(element.parent), 2, element.parent.proto.field.indexOf(element.proto)];
  }
}
