/**
 * The folder of these modules: `src/` here, `dist/` in the package. There, modules lie together in few files; this one's
 * is in the folder itself, so that what follows holds in both. Nobody else may ask where it is.
 */
const modules = new URL("./", import.meta.url);

/** The folder of this package, with its manifest and its contracts. */
export const packageRoot = new URL("../", modules);

/** A module that a thread or a process starts with, by its path below `src/`, without an extension. */
export function ownModule(path: string): URL {
  return new URL(`${path}${import.meta.url.slice(import.meta.url.lastIndexOf("."))}`, modules);
}
