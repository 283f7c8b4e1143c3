// What every page has: light, dark or as the system says; and tables that scroll can be reached with the keyboard.
(() => {
  const root = document.documentElement;
  const stored = () => { try { return localStorage.getItem("wheatstone-theme"); } catch { return null; } };
  const keep = (value) => { try { localStorage.setItem("wheatstone-theme", value); } catch { /* not here */ } };
  const button = document.querySelector("button.theme");
  const names = { auto: "as the system", light: "light", dark: "dark" };
  const apply = (theme) => {
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    if (button) button.textContent = `Colours: ${names[theme]}`;
  };
  let theme = stored() in names ? stored() : "auto";
  apply(theme);
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const order = Object.keys(names);
      theme = order[(order.indexOf(theme) + 1) % order.length];
      keep(theme);
      apply(theme);
    });
  }
  const reach = () => document.querySelectorAll(".scroll").forEach((box) => {
    const overflows = box.scrollWidth > box.clientWidth + 1;
    if (overflows) { box.tabIndex = 0; box.setAttribute("role", "region"); box.setAttribute("aria-label", box.dataset.label || "table, scrolls sideways"); }
    else { box.removeAttribute("tabindex"); box.removeAttribute("role"); box.removeAttribute("aria-label"); }
  });
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  reach();
  // What is folded away is part of a printed report only where the reader has unfolded it; a link opens what it leads to.
  const open = () => { const at = location.hash ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null; at?.closest("details")?.setAttribute("open", ""); };
  addEventListener("hashchange", open);
  open();
})();
