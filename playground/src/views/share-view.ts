/** Copies the text, or a link to the settings, which can be selected where a page may not write to the clipboard. */
import { byId } from "./dom.js";

/** Copies a text, and says so. Resolves to whether the browser allowed it. */
export async function copy(text: string, done: string): Promise<boolean> {
  // Pages that are not secure contexts have no clipboard.
  const { clipboard } = navigator as { readonly clipboard?: Clipboard };
  const copied = clipboard !== undefined && (await clipboard.writeText(text).then(yes, no));
  byId("share-status").textContent = copied ? done : "This browser does not let the page copy.";
  return copied;
}

/** Copies the link, and shows it. */
export async function copyLink(link: string): Promise<void> {
  const field = byId("share-link", HTMLInputElement);
  field.value = link;
  byId("share-link-field").hidden = false;
  if (!(await copy(link, "The link is copied."))) field.select();
}

const yes = (): boolean => true;
const no = (): boolean => false;
