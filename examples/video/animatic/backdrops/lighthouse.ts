import { type Dice, glints, paperBoat, radialGradient, ridge, stars, verticalGradient, wash } from "./brush.ts";

/** A starry night; a lighthouse sends its beam over the water. */
export function lighthouse(dice: Dice): { defs: string; layers: string } {
  const horizon = 570;
  return {
    defs:
      verticalGradient("sky", [
        [0, "#070d26"],
        [0.45, "#142452"],
        [0.7, "#2f4a80"],
      ]) +
      radialGradient("glow", [
        [0, "#fdf7dc", 0.55],
        [0.4, "#cfdcff", 0.18],
        [1, "#9db4f0", 0],
      ]) +
      radialGradient("lamp", [
        [0, "#fffbe0", 1],
        [0.3, "#ffe9a0", 0.55],
        [1, "#ffd870", 0],
      ]) +
      `<linearGradient id="beam" x1="1" y1="0" x2="0" y2="0"><stop offset="0" stop-color="#fff3c0" stop-opacity="0.72"/><stop offset="0.55" stop-color="#ffedb0" stop-opacity="0.2"/><stop offset="1" stop-color="#ffedb0" stop-opacity="0"/></linearGradient>` +
      `<linearGradient id="tower" x1="0" y1="0" x2="1" y2="0"><stop offset="0" stop-color="#f4ead6"/><stop offset="1" stop-color="#8f8aa6"/></linearGradient>` +
      verticalGradient("water", [
        [0, "#2f4a80"],
        [0.35, "#152a58"],
        [1, "#060d24"],
      ]),
    layers: [
      wash("url(#sky)"),
      stars(dice, { count: 230, bottom: 550 }),
      `<circle cx="330" cy="190" r="250" fill="url(#glow)"/><path d="M352 141A56 56 0 1 0 384 214A50 50 0 0 1 352 141Z" fill="#fdf8e4"/>`,
      `<path d="M1222 290L-80 430L-80 660Z" fill="url(#beam)"/>`,
      wash("url(#water)", horizon),
      glints(dice, { x: 330, top: horizon + 6, bottom: 870, spread: 330, count: 44, fill: "#dfe8ff" }),
      glints(dice, { x: 820, top: horizon + 4, bottom: 720, spread: 700, count: 26, fill: "#ffe7a4" }),
      `<g transform="translate(0 -40)">`,
      `<path d="M1010 670Q1090 590 1150 596Q1210 560 1290 580Q1400 560 1480 606Q1560 610 1640 680Z" fill="#0a1130"/>`,
      `<path d="M1196 592L1208 380H1256L1268 592Z" fill="url(#tower)"/>`,
      `<path d="M1205.200 430L1258.800 430L1261.800 484L1202.200 484Z M1199.500 535L1264.600 535L1267 580L1196.800 580Z" fill="#c2474b"/>`,
      `<rect x="1198" y="366" width="68" height="15" rx="3" fill="#1a2350"/><rect x="1212" y="318" width="40" height="48" fill="#ffeeb0"/><path d="M1204 320L1232 288L1260 320Z" fill="#c2474b"/>`,
      `<circle cx="1230" cy="340" r="150" fill="url(#lamp)"/>`,
      "</g>",
      ridge(dice, { y: 640, height: 8, waves: 5, fill: "#0f2048" }),
      paperBoat(600, 682, 160, 5, { sail: "#fff8de", sailShade: "#b3b4c9", hull: "#f3e9cf", hullShade: "#8f93b4" }),
      ridge(dice, { y: 684, height: 10, waves: 4, fill: "#0b183b" }),
      ridge(dice, { y: 770, height: 14, waves: 2.8, fill: "#071029" }),
    ].join(""),
  };
}
