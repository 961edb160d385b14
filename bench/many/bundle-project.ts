/** Brings the code in dist/ up to date, as `npm run build` does. @throws Error when it cannot be bundled */
export async function bundleProject(): Promise<void> {
  // It weighs more than the bench, and most figures are measured without it.
  const { bundle } = await import("../../scripts/bundle.ts");
  await bundle();
}
