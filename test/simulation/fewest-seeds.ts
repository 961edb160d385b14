/** How many seeds the test command simulates at least, on a slow machine. */
export const fewestSeeds = 100;
