import {
  canvas,
  type Dice,
  glints,
  glowingDisc,
  paperBoat,
  radialGradient,
  ridge,
  stars,
  tenths,
  verticalGradient,
  wash,
} from "./brush.ts";

/** Dusk over a harbour village with lit windows. */
export function village(dice: Dice): { defs: string; layers: string } {
  const shore = 590;
  return {
    defs:
      verticalGradient("sky", [
        [0, "#1f2452"],
        [0.3, "#6a4a86"],
        [0.52, "#d9717c"],
        [0.7, "#f8b878"],
      ]) +
      radialGradient("glow", [
        [0, "#fff1c4", 0.85],
        [0.35, "#ffc98a", 0.4],
        [1, "#ffb070", 0],
      ]) +
      verticalGradient("water", [
        [0, "#c9747c"],
        [0.45, "#5b4478"],
        [1, "#1d1d44"],
      ]),
    layers: [
      wash("url(#sky)"),
      stars(dice, { count: 90, bottom: 330 }),
      glowingDisc(1120, 400, 70, "#fff0c9", "url(#glow)", 5.4),
      ridge(dice, { y: 522, height: 62, waves: 1.1, fill: "#7c4f83" }),
      ridge(dice, { y: 552, height: 40, waves: 1.7, fill: "#543c73" }),
      houses(dice, shore),
      wash("url(#water)", shore),
      glints(dice, { x: 1120, top: shore + 8, bottom: 890, spread: 330, count: 46, fill: "#ffdca0" }),
      glints(dice, { x: 420, top: shore + 6, bottom: 740, spread: 900, count: 30, fill: "#ffc477" }),
      paperBoat(640, 690, 130, -3, { sail: "#fff3e0", sailShade: "#d9b8b4", hull: "#f8e4d2", hullShade: "#b796a8" }),
      `<ellipse cx="640" cy="693" rx="78" ry="5" fill="#1d1d44" fill-opacity="0.55"/>`,
    ].join(""),
  };
}

function houses(dice: Dice, ground: number): string {
  const walls = ["#2b2550", "#352b5c", "#241f47", "#3d3163"];
  let drawn = "";
  for (let x = -20; x < canvas.width; ) {
    const width = 62 + dice() * 58;
    const height = 58 + dice() * 92;
    const roof = 26 + dice() * 34;
    const wall = walls[Math.floor(dice() * walls.length)] ?? walls[0];
    const top = ground - height;
    drawn += `<path d="M${tenths(x)} ${ground}V${tenths(top)}L${tenths(x + width / 2)} ${tenths(top - roof)}L${tenths(x + width)} ${tenths(top)}V${ground}Z" fill="${wall}"/>`;
    if (dice() < 0.45) {
      drawn += `<rect x="${tenths(x + width * 0.7)}" y="${tenths(top - roof * 0.95)}" width="10" height="30" fill="${wall}"/>`;
    }
    for (let row = top + 16; row < ground - 24; row += 32) {
      for (let column = x + 14; column < x + width - 20; column += 26) {
        if (dice() < 0.46) {
          drawn += `<rect x="${tenths(column)}" y="${tenths(row)}" width="11" height="15" rx="1.5" fill="#ffd684" fill-opacity="${(0.65 + dice() * 0.35).toFixed(2)}"/>`;
        }
      }
    }
    x += width + (dice() < 0.25 ? 18 + dice() * 46 : -3);
  }
  return drawn;
}
