/** Where to go after signing in: a place of ours only, however a browser reads it. */
export function next(said: string | null, origin: string): string {
  if (said?.startsWith("/") !== true || !URL.canParse(said, origin)) return "/";
  const to = new URL(said, origin);
  return to.origin === origin && !to.pathname.startsWith("//") ? to.pathname + to.search + to.hash : "/";
}
