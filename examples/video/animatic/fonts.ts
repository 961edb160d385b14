import { fileURLToPath } from "node:url";

// Read by fontconfig, inside sharp, when the first text is drawn. An operator's own choice wins.
process.env["FONTCONFIG_FILE"] ??= fileURLToPath(new URL("fonts.conf", import.meta.url));

/** Faces in Pango's notation, without a size: each family is asked for the glyphs that the ones before it lack. */
export const faces = {
  title: "DM Serif Display, DejaVu Serif, DejaVu Sans",
  caption: "DejaVu Sans",
} as const;
