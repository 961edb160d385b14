/** A stream of numbers in [0, 1) that is the same for the same seed on every machine. */
export type Dice = () => number;

/** Mulberry32: small, and good enough for scattering stars. */
export function createDice(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Backdrops are drawn on a canvas of this size and scaled to whatever the film needs. */
export const canvas = { width: 1600, height: 900 } as const;

/** A number with one decimal: a tenth of a canvas unit is finer than any frame shows, and keeps the SVG short. */
export function tenths(value: number): string {
  return value.toFixed(1);
}

/** A definition of a gradient from top to bottom; `stops` are `[offset, colour, opacity?]`. */
export function verticalGradient(id: string, stops: readonly (readonly [number, string, number?])[]): string {
  return `<linearGradient id="${id}" x1="0" y1="0" x2="0" y2="1">${gradientStops(stops)}</linearGradient>`;
}

/** A definition of a gradient from the centre outwards. */
export function radialGradient(id: string, stops: readonly (readonly [number, string, number?])[]): string {
  return `<radialGradient id="${id}">${gradientStops(stops)}</radialGradient>`;
}

function gradientStops(stops: readonly (readonly [number, string, number?])[]): string {
  return stops
    .map(
      ([offset, colour, opacity = 1]) => `<stop offset="${offset}" stop-color="${colour}" stop-opacity="${opacity}"/>`,
    )
    .join("");
}

/** A rectangle over the whole canvas, or over its part below `top`. */
export function wash(fill: string, top = 0): string {
  return `<rect x="0" y="${tenths(top)}" width="${canvas.width}" height="${tenths(canvas.height - top)}" fill="${fill}"/>`;
}

/** A disc with a glow around it; the glow is a gradient, because a blur of this size costs a hundred times more. */
export function glowingDisc(x: number, y: number, radius: number, disc: string, glow: string, spread: number): string {
  return `<circle cx="${x}" cy="${y}" r="${radius * spread}" fill="${glow}"/><circle cx="${x}" cy="${y}" r="${radius}" fill="${disc}"/>`;
}

/** A closed ridge line from edge to edge: a few sine waves with phases from the dice, filled to the bottom. */
export function ridge(
  dice: Dice,
  { y, height, waves, fill }: { y: number; height: number; waves: number; fill: string },
): string {
  const parts = [1, 2.3, 4.7].map((factor) => ({
    frequency: (waves * factor * 2 * Math.PI) / canvas.width,
    phase: dice() * 2 * Math.PI,
    share: 0.62 / factor,
  }));
  const step = 20;
  let path = `M0 ${canvas.height}`;
  for (let x = 0; x <= canvas.width; x += step) {
    const lift = parts.reduce((sum, part) => sum + part.share * Math.sin(part.frequency * x + part.phase), 0);
    path += `L${x} ${tenths(y - height * lift)}`;
  }
  return `<path d="${path}L${canvas.width} ${canvas.height}Z" fill="${fill}"/>`;
}

/** Small stars above `bottom`, fewer and fainter towards it. */
export function stars(dice: Dice, { count, bottom }: { count: number; bottom: number }): string {
  return Array.from({ length: count }, () => {
    const depth = dice() ** 1.4;
    const radius = 0.8 + 1.9 * dice() ** 3;
    const opacity = (0.35 + 0.65 * dice()) * (1 - 0.75 * depth);
    return `<circle cx="${tenths(dice() * canvas.width)}" cy="${tenths(depth * bottom)}" r="${tenths(radius)}" fill="#fff" fill-opacity="${opacity.toFixed(2)}"/>`;
  }).join("");
}

/** Short horizontal strokes of light on water, wider towards the viewer. */
export function glints(
  dice: Dice,
  {
    x,
    top,
    bottom,
    spread,
    count,
    fill,
  }: { x: number; top: number; bottom: number; spread: number; count: number; fill: string },
): string {
  return Array.from({ length: count }, () => {
    const depth = dice() ** 1.5;
    const width = (18 + 90 * dice()) * (0.35 + depth);
    const left = x + (dice() - 0.5) * spread * (0.25 + depth) - width / 2;
    const opacity = (0.25 + 0.55 * dice()) * (1 - 0.6 * depth);
    return `<rect x="${tenths(left)}" y="${tenths(top + depth * (bottom - top))}" width="${tenths(width)}" height="${tenths(2 + 3 * depth)}" rx="2" fill="${fill}" fill-opacity="${opacity.toFixed(2)}"/>`;
  }).join("");
}

/** A folded paper boat, its keel at (x, y), `size` canvas units wide, leaning by `lean` degrees. */
export function paperBoat(x: number, y: number, size: number, lean: number, shades: BoatShades): string {
  return `<g transform="translate(${x} ${y}) rotate(${lean}) scale(${(size / 200).toFixed(3)})">
    <path d="M0 -128L58 -34L0 -34Z" fill="${shades.sailShade}"/><path d="M0 -128L-58 -34L0 -34Z" fill="${shades.sail}"/>
    <path d="M-100 -62L-58 0L58 0L100 -62L0 -26Z" fill="${shades.hull}"/><path d="M100 -62L58 0L0 0L0 -26Z" fill="${shades.hullShade}"/>
  </g>`;
}

/** The four faces of a paper boat; the shaded ones look away from the light. */
export interface BoatShades {
  readonly sail: string;
  readonly sailShade: string;
  readonly hull: string;
  readonly hullShade: string;
}

/** Gulls far away: two strokes each. */
export function gulls(places: readonly (readonly [x: number, y: number, span: number])[], stroke: string): string {
  return places
    .map(
      ([x, y, span]) =>
        `<path d="M${x - span} ${y}q${span * 0.5} ${-span * 0.55} ${span} 0q${span * 0.5} ${-span * 0.55} ${span} 0" fill="none" stroke="${stroke}" stroke-width="3" stroke-linecap="round"/>`,
    )
    .join("");
}

/** A fir tree standing at (x, y). */
export function fir(x: number, y: number, height: number, fill: string): string {
  const half = height * 0.21;
  const tier = (top: number, bottom: number, width: number) =>
    `M${tenths(x)} ${tenths(y - height * top)}L${tenths(x + half * width)} ${tenths(y - height * bottom)}L${tenths(x - half * width)} ${tenths(y - height * bottom)}Z`;
  return `<path d="${tier(1, 0.62, 0.52)}${tier(0.8, 0.36, 0.78)}${tier(0.58, 0.06, 1)}M${tenths(x - height * 0.025)} ${tenths(y - height * 0.08)}h${tenths(height * 0.05)}v${tenths(height * 0.1)}h${tenths(-height * 0.05)}Z" fill="${fill}"/>`;
}

/** Darkens the corners, so that the eye stays in the middle. */
export function vignette(): { defs: string; layer: string } {
  return {
    defs: radialGradient("vignette", [
      [0.55, "#000", 0],
      [1, "#000", 0.38],
    ]),
    layer: `<ellipse cx="800" cy="450" rx="1130" ry="760" fill="url(#vignette)"/>`,
  };
}
