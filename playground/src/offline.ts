/// <reference types="vite/client" />
/** Has the built page stored by its service worker, so that it works without a network from then on. */
import { showOffline } from "./views/index.js";

/** Says in the footer when the page is stored. Does nothing while developing, and where browsers have no workers. */
export async function storeForOffline(): Promise<void> {
  // Pages that are not secure contexts have no service workers.
  const { serviceWorker } = navigator as { readonly serviceWorker?: ServiceWorkerContainer };
  if (!import.meta.env.PROD || serviceWorker === undefined) return;
  try {
    await serviceWorker.register(new URL("./service-worker.js", document.baseURI));
    await serviceWorker.ready;
    showOffline("The page and its model are stored in this browser, and work without a network.");
  } catch {
    showOffline("This browser does not store the page for use without a network.");
  }
}
