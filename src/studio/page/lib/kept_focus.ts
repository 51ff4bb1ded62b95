/**
 * Keeps the focus in a section when what had it goes away: the heading of the section gets it, or the view. The browser
 * would put it nowhere, and who uses keys or a screen reader would begin again at the top of the page.
 */
export function keepFocus(): void {
  let last: Element | undefined;
  let section: Element | null = null;
  // Who presses somewhere else has left.
  document.addEventListener("pointerdown", () => last = undefined, { capture: true });
  document.addEventListener("focusin", ({ target }) => {
    last = target as Element;
    section = last.closest("section");
  });
  new MutationObserver(() => {
    if (document.activeElement !== document.body || !section || last?.isConnected !== false) return;
    const heading = section.isConnected && section.querySelector<HTMLElement>("h2, h3");
    if (heading) heading.tabIndex = -1;
    (heading || document.querySelector("main"))?.focus();
  }).observe(document.body, { childList: true, subtree: true });
}
