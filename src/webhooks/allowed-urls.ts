/** Whether callers may name this URL: on the origin of an allowed one, at its path or below. */
export function isAllowedUrl(url: string, allowed: readonly string[]): boolean {
  const wanted = URL.parse(url);
  return (
    wanted !== null &&
    allowed.some((each) => {
      const prefix = URL.parse(each);
      if (prefix === null || prefix.origin !== wanted.origin) return false;
      const directory = prefix.pathname.endsWith("/") ? prefix.pathname : `${prefix.pathname}/`;
      return wanted.pathname === prefix.pathname || wanted.pathname.startsWith(directory);
    })
  );
}
