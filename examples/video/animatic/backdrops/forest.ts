import { canvas, type Dice, fir, glowingDisc, radialGradient, tenths, verticalGradient, wash } from "./brush.ts";

/** Firs in the mist, one rank behind the other, and fireflies between them. */
export function forest(dice: Dice): { defs: string; layers: string } {
  const ranks = [
    { y: 620, height: 250, gap: 46, fill: "#5d8f86" },
    { y: 700, height: 330, gap: 62, fill: "#3b6f6b" },
    { y: 800, height: 430, gap: 92, fill: "#21504f" },
    { y: 930, height: 560, gap: 170, fill: "#0f3134" },
  ];
  return {
    defs:
      verticalGradient("sky", [
        [0, "#23495a"],
        [0.45, "#6fa39a"],
        [0.8, "#e3dcae"],
      ]) +
      radialGradient("glow", [
        [0, "#fff8d8", 0.8],
        [0.4, "#f7ebb4", 0.35],
        [1, "#f2e4a6", 0],
      ]) +
      radialGradient("firefly", [
        [0, "#fffbd0", 1],
        [0.25, "#ffee90", 0.8],
        [1, "#ffe670", 0],
      ]) +
      verticalGradient("mist", [
        [0, "#e9f0d8", 0],
        [1, "#e9f0d8", 0.42],
      ]),
    layers: [
      wash("url(#sky)"),
      glowingDisc(1080, 300, 60, "#fffbe2", "url(#glow)", 5.4),
      ...ranks.map(
        ({ y, height, gap, fill }) =>
          rank(dice, y, height, gap, fill) +
          `<rect x="0" y="${y - 150}" width="1600" height="${canvas.height - y + 150}" fill="url(#mist)" fill-opacity="0.5"/>`,
      ),
      Array.from(
        { length: 34 },
        () =>
          `<circle cx="${tenths(dice() * canvas.width)}" cy="${tenths(480 + dice() * 380)}" r="${tenths(7 + dice() * 13)}" fill="url(#firefly)"/>`,
      ).join(""),
    ].join(""),
  };
}

function rank(dice: Dice, y: number, height: number, gap: number, fill: string): string {
  let drawn = "";
  for (let x = -gap; x < canvas.width + gap; x += gap * (0.6 + dice() * 0.8)) {
    drawn += fir(x, y + dice() * 20, height * (0.62 + dice() * 0.38), fill);
  }
  return `${drawn}<rect x="0" y="${y - 12}" width="${canvas.width}" height="${canvas.height - y + 12}" fill="${fill}"/>`;
}
