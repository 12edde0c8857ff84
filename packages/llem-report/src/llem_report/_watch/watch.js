"use strict";
// The page is complete without this script, which asks for the newest state once a second.
(() => {
  const connection = document.getElementById("connection");
  const results = document.getElementById("results");

  function show(view) {
    document.title = view.title;
    for (const [id, content] of Object.entries(view.texts)) {
      const element = document.getElementById(id);
      if (element.textContent !== content) element.textContent = content;
      element.hidden = content === "";
    }
    for (const [id, attributes] of Object.entries(view.attributes)) {
      const element = document.getElementById(id);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    }
  }

  async function ask(name) {
    const answer = await fetch(name, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer;
  }

  async function showResults(report) {
    const content = await (await ask("results.html")).text();
    // The server has escaped all text of the study; the parser runs no script.
    const parsed = new DOMParser().parseFromString(content, "text/html");
    results.replaceChildren(...parsed.body.childNodes);
    results.dataset.report = report;
  }

  async function update() {
    let wait = 1000;
    try {
      const view = await (await ask("state.json")).json();
      show(view);
      if (String(view.report) !== results.dataset.report) await showResults(view.report);
      connection.hidden = true;
    } catch (error) {
      connection.textContent =
        "No answer: `llem-cli study watch` was stopped, or the connection was lost. The page shows the last state.";
      connection.hidden = false;
      wait = 3000;
    }
    setTimeout(update, wait);
  }

  setTimeout(update, 1000);
})();
