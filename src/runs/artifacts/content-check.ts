import { ArtifactError } from "../ports/artifacts.ts";

/** What is asked of an artifact's bytes. */
export interface ContentRules {
  /** Of an image, as its first bytes say. */
  readonly maxImagePixels: number;
  /** Media types that are not compared with the bytes: `model/gltf`, or `text/*` for all of a kind. */
  readonly uncheckedMediaTypes: readonly string[];
}

/** How many of the first bytes are looked at. Images may have colour profiles and previews before they tell their size. */
export const headBytes = 256 * 1024;

/**
 * Looks at the first bytes of an artifact: whether they are what its media type says, and, of an image, how many pixels
 * it would have. What comes later in the file is not looked at here, nor is anything decompressed.
 *
 * @throws ArtifactError "content"
 */
export async function checkContent(head: Uint8Array, mediaType: string, rules: ContentRules): Promise<void> {
  const declared = essence(mediaType);
  // Loaded by the first artifact: few servers need it when they start.
  const [{ fileTypeFromBuffer, supportedMimeTypes }, { imageSize }] = await Promise.all([
    import("file-type"),
    import("image-size"),
  ]);
  const found = await fileTypeFromBuffer(head).catch(() => undefined);
  const actual = found === undefined ? undefined : essence(found.mime);
  if (!isUnchecked(declared, rules) && contradicts(declared, actual, head, supportedMimeTypes)) {
    throw new ArtifactError(
      "content",
      `this is declared as ${declared}, and its bytes are ${actual === undefined ? "no such file" : `those of ${actual}`}: ` +
        "say what it is, or leave the media type out",
    );
  }
  if (actual !== undefined && sized.has(actual)) {
    // A copy: image-size reads on behind the end of a part of a buffer.
    checkPixels(actual, dimensionsOf(Uint8Array.from(head), imageSize), rules);
  }
}

/** Images whose size is known before anything is decompressed. */
const sized = new Set(["image/png", "image/apng", "image/jpeg", "image/gif", "image/webp"]);

interface Dimensions {
  readonly width: number;
  readonly height: number;
}

function dimensionsOf(head: Uint8Array, read: (bytes: Uint8Array) => Dimensions): Dimensions | undefined {
  try {
    return read(head);
  } catch {
    return undefined;
  }
}

function checkPixels(type: string, dimensions: Dimensions | undefined, { maxImagePixels }: ContentRules): void {
  if (dimensions === undefined || dimensions.width < 1 || dimensions.height < 1) {
    throw new ArtifactError(
      "content",
      `this ${type} does not say its size in its first ${headBytes} bytes: it is broken`,
    );
  }
  const { width, height } = dimensions;
  if (width * height > maxImagePixels) {
    throw new ArtifactError(
      "content",
      `this image has ${width} x ${height} pixels, more than the ${maxImagePixels} that one may have (artifacts.max_image_pixels)`,
    );
  }
}

/** A media type without its parameters, by the name that it goes by here. */
function essence(mediaType: string): string {
  const [type = ""] = mediaType.toLowerCase().split(";", 1);
  return aliases.get(type.trim()) ?? type.trim();
}

const aliases = new Map([
  ["image/jpg", "image/jpeg"],
  ["image/pjpeg", "image/jpeg"],
  ["image/x-png", "image/png"],
  ["audio/x-wav", "audio/wav"],
  ["audio/wave", "audio/wav"],
  ["audio/vnd.wave", "audio/wav"],
  ["audio/mp3", "audio/mpeg"],
  ["audio/x-flac", "audio/flac"],
  ["audio/x-m4a", "audio/mp4"],
  ["video/x-m4v", "video/mp4"],
  ["video/matroska", "video/x-matroska"],
  ["application/x-zip-compressed", "application/zip"],
  ["application/x-gzip", "application/gzip"],
  ["application/x-pdf", "application/pdf"],
]);

/** Types that share a container, so that their first bytes do not tell them apart. */
const families: readonly RegExp[] = [
  /^(video\/(mp4|quicktime|3gpp2?|x-m4v)|audio\/(mp4|aac|3gpp2?|x-m4[bp])|image\/(heic|heif|avif)(-sequence)?)$/,
  /^((video|audio)\/(webm|x-matroska))$/,
  /^((video|audio|application)\/(ogg|opus|x-ogm)|audio\/(opus|x-speex|vorbis).*)$/,
  /^(video|audio)\/(x-ms-asf|x-ms-wm[av]|vnd\.ms-asf)$/,
  /^image\/a?png$/,
  /^image\/(tiff|x-.*|dng)$/,
  /^audio\/(mpeg|mp4|aac)$/,
  /^(video\/mpeg|video\/mp1s|video\/mp2p|video\/mp2t|audio\/mpeg)$/,
  /^font\/|^application\/(x-font-.*|font-.*|vnd\.ms-fontobject)$/,
];

/** What other formats are made of: an office document is a ZIP, a drawing is XML. */
const containers = /^application\/(zip|gzip|xml|x-sqlite3|x-cfb|x-tar|x-7z-compressed|zstd|x-bzip2|x-xz)$/;

/** Kinds of which every member that is known has first bytes of its own. */
const alwaysRecognised =
  /^(image\/(png|apng|jpeg|gif|webp|avif|heic|bmp|tiff)|video\/(mp4|webm|quicktime|x-matroska)|audio\/(wav|flac|ogg)|application\/(pdf|zip|gzip))$/;

function contradicts(
  declared: string,
  actual: string | undefined,
  head: Uint8Array,
  known: ReadonlySet<string>,
): boolean {
  if (declared === actual || head.length === 0) {
    return false;
  }
  if (actual === undefined) {
    return alwaysRecognised.test(declared);
  }
  if (families.some((family) => family.test(declared) && family.test(actual))) {
    return false;
  }
  if (/^text\//.test(declared) || /[/+]xml$/.test(declared) || /[/+]json$/.test(declared)) {
    return !/^text\/|[/+]xml$|[/+]json$/.test(actual);
  }
  if (containers.test(actual)) {
    return alwaysRecognised.test(declared);
  }
  return known.has(declared) || /^(image|video|audio|font)\//.test(declared);
}

/** Bytes of which nothing is said are what they are. */
function isUnchecked(declared: string, { uncheckedMediaTypes }: ContentRules): boolean {
  return (
    declared === "" ||
    declared === "application/octet-stream" ||
    uncheckedMediaTypes.some((type) => {
      const unchecked = type.toLowerCase();
      return unchecked.endsWith("/*") ? declared.startsWith(unchecked.slice(0, -1)) : declared === essence(unchecked);
    })
  );
}
