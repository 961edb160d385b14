import { ArtifactError } from "../ports/artifacts.ts";
import { isTiff } from "./tiff-size.ts";

/** What is asked of an artifact's bytes. */
export interface ContentRules {
  /** Of an image, as its first bytes say. */
  readonly maxImagePixels: number;
  /** Media types that are not compared with the bytes: `model/gltf`, or `text/*` for all of a kind. */
  readonly uncheckedMediaTypes: readonly string[];
}

export const tiff = "image/tiff";

/** How many of the first bytes are looked at. Images may have colour profiles and previews before they tell their size. */
export const headBytes = 256 * 1024;

/**
 * Looks at the first bytes of an artifact: whether they are what its media type says, and, of an image, how many pixels
 * it would have. What comes later in the file is not looked at here, nor is anything decompressed.
 *
 * @returns what its bytes are, as a media type, if that is known
 * @throws ArtifactError "content"
 */
export async function checkContent(
  head: Uint8Array,
  mediaType: string,
  rules: ContentRules,
): Promise<string | undefined> {
  const declared = essence(mediaType);
  // Loaded by the first artifact: few servers need it when they start.
  const [{ fileTypeFromBuffer, supportedMimeTypes }, { imageSize }] = await Promise.all([
    import("file-type"),
    import("image-size"),
  ]);
  const found = await fileTypeFromBuffer(head).catch(() => undefined);
  const actual = found !== undefined ? essence(found.mime) : isTiff(head) ? tiff : undefined;
  if (!isUnchecked(declared, rules) && contradicts(declared, actual, head, supportedMimeTypes)) {
    throw new ArtifactError(
      "content",
      `this is declared as ${declared}, and its bytes are ${actual === undefined ? "no such file" : `those of ${actual}`}: ` +
        "say what it is, or leave the media type out",
    );
  }
  if (actual?.startsWith("image/")) checkImage(actual, head, imageSize, rules);
  return actual;
}

type ReadSize = (bytes: Uint8Array) => Dimensions;

function checkImage(type: string, head: Uint8Array, read: ReadSize, rules: ContentRules): void {
  if (sized.has(type)) {
    // A copy: image-size reads on behind the end of a part of a buffer.
    checkPixels(type, dimensionsOf(Uint8Array.from(head), read), rules);
  } else if (boxed.test(type)) {
    checkPixels(type, largestBoxed(Buffer.from(head.buffer, head.byteOffset, head.length)), rules);
  } else if (!sizedElsewhere.has(type) && !isListed(type, rules)) {
    throw new ArtifactError(
      "content",
      `how many pixels this ${type} has cannot be told from its first bytes: send it as another kind of image ` +
        "(where such files are trusted: artifacts.unchecked_media_types)",
    );
  }
}

/** Images whose size is known before anything is decompressed. */
const sized = new Set([
  ...["image/png", "image/apng", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/jp2", "image/jxl"],
  ...["image/ktx", "image/vnd.adobe.photoshop"],
]);

/** Images in boxes, of which one tells a size. */
const boxed = /^image\/(avif|hei[cf](-sequence)?)$/;

/** TIFF tells it where it likes (see `TiffSize`), and drawings have no pixels. */
const sizedElsewhere = new Set([tiff, "image/svg+xml", "image/vnd.dwg"]);

/**
 * The largest of the sizes that a file in boxes names, whichever of its images is shown. Not by image-size, which takes the
 * first and what it is cropped to.
 */
function largestBoxed(head: Buffer): Dimensions | undefined {
  let largest: Dimensions | undefined;
  for (let at = head.indexOf("ispe"); at >= 4 && at + 16 <= head.length; at = head.indexOf("ispe", at + 4)) {
    const bytes = head.readUInt32BE(at - 4);
    // Other bytes may read the same, but not behind the length of such a box.
    if (bytes < 20 || bytes > 64) continue;
    const found = { width: head.readUInt32BE(at + 8), height: head.readUInt32BE(at + 12) };
    if (largest === undefined || found.width * found.height > largest.width * largest.height) largest = found;
  }
  return largest;
}

export interface Dimensions {
  readonly width: number;
  readonly height: number;
}

function dimensionsOf(head: Uint8Array, read: ReadSize): Dimensions | undefined {
  try {
    return read(head);
  } catch {
    return undefined;
  }
}

/** @throws ArtifactError "content" */
export function checkPixels(type: string, dimensions: Dimensions | undefined, { maxImagePixels }: ContentRules): void {
  if (dimensions === undefined || dimensions.width < 1 || dimensions.height < 1) {
    const where = type === tiff ? "" : ` in its first ${headBytes} bytes`;
    throw new ArtifactError("content", `this ${type} does not say its size${where}: it is broken`);
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
function isUnchecked(declared: string, rules: ContentRules): boolean {
  return declared === "" || declared === "application/octet-stream" || isListed(declared, rules);
}

function isListed(mediaType: string, { uncheckedMediaTypes }: ContentRules): boolean {
  return uncheckedMediaTypes.some((type) => {
    const unchecked = type.toLowerCase();
    return unchecked.endsWith("/*") ? mediaType.startsWith(unchecked.slice(0, -1)) : mediaType === essence(unchecked);
  });
}
