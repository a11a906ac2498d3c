// Comfort only: every page works without this file.
"use strict";

(() => {
  const rows = Array.from(document.querySelectorAll("[data-row]"));
  let at = -1;

  const select = (index) => {
    if (!rows.length) return;
    if (at >= 0) rows[at].classList.remove("selected");
    at = Math.max(0, Math.min(rows.length - 1, index));
    rows[at].classList.add("selected");
    rows[at].scrollIntoView({ block: "nearest" });
    rows[at].querySelector("a").focus({ preventScroll: true });
  };

  const press = (key) => {
    const target = document.querySelector(`[data-key="${key}"]`);
    if (!target) return false;
    if (target.tagName === "SUMMARY") {
      target.click();
      const first = target.parentElement.open && target.parentElement.querySelector("input");
      if (first) first.focus();
    } else {
      target.click();
    }
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.repeat && !"jk".includes(event.key)) return;
    const inText = event.target.matches("textarea, select, input:not([type=checkbox])");
    if (inText) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (rows.length && event.key === "j") select(at + 1);
    else if (rows.length && event.key === "k") select(at - 1);
    else if (rows.length || !press(event.key)) return;
    event.preventDefault();
  });

  rows.forEach((row, index) => {
    row.addEventListener("focusin", () => { if (at !== index) select(index); });
  });

  // A second press of the same button must not send the decision twice.
  document.addEventListener("submit", (event) => {
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
  });

  const bubbles = document.querySelector(".bubbles");
  const flagged = document.getElementById("flagged");
  if (bubbles && flagged && bubbles.scrollHeight > bubbles.clientHeight) {
    bubbles.scrollTop = flagged.offsetTop - bubbles.offsetTop - bubbles.clientHeight / 2 + flagged.offsetHeight / 2;
  }
})();
