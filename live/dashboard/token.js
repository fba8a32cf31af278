/** The dialog that asks for the service's token, where it needs one. */

import { keepToken, token } from "./api.js";
import { byId, setText } from "./dom.js";

let asking = null;

/** Ask for the token until one is given; it is kept for this tab. */
export function askToken() {
  asking ??= ask().finally(() => {
    asking = null;
  });
  return asking;
}

function ask() {
  const dialog = byId("token-dialog");
  if (token())
    setText(byId("token-reason"), "That token is not the service's LIVE_TOKEN (in its .env).");
  keepToken(null);
  dialog.oncancel = (event) => event.preventDefault();
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    byId("token-form").onsubmit = (event) => {
      event.preventDefault();
      keepToken(byId("token-field").value.trim());
      byId("token-form").reset();
      dialog.close();
      resolve();
    };
  });
}
