/** Styles that are made while the page runs carry the nonce that the server put into the page. */
export const nonce = document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.content ?? "";

/**
 * Gives the nonce to every style element, those too of libraries that know nothing of it (a measuring of
 * scroll bars, drag and drop): without it the browser leaves them out, and says so each time.
 */
export function nonceForStyles(): void {
  if (nonce === "") return;
  const make = Reflect.get(document, "createElement");
  Reflect.set(document, "createElement", (name: string, options?: ElementCreationOptions): HTMLElement => {
    const made = make.call(document, name, options);
    if (made instanceof HTMLStyleElement) made.nonce = nonce;
    return made;
  });
}
