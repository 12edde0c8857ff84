"""The commands of `llem-cli study`: their names and help, by import string."""

from __future__ import annotations

from cyclopts import App

study = App(
    name="study",
    help="Run a study and look at its results: many experiments, repeated, from one file.",
)
study.command(
    "llem_cli._commands.study.run:run",
    name="run",
    help="Run every experiment of a study file, or of --model and --sweep.\n\n"
    "Results are saved as they arrive, in a new folder. Ctrl-C stops the study; continue it with "
    "the command `study resume`. Exits with code 0 if all runs completed, 1 if a run failed, 2 if the study "
    "file or a flag is wrong, and 130 if the study was interrupted.",
)
study.command(
    "llem_cli._commands.study.resume:resume",
    name="resume",
    help="Continue a study that stopped early, or add cycles to it.\n\n"
    "Runs everything that is not completed: pending, interrupted and failed runs. Cycles of a divided study are "
    "added as shards.",
)
study.command(
    "llem_cli._commands.study.shard:shard",
    name="shard",
    help="Run what is left of one shard of a divided study, here and now: FOLDER NUMBER.\n\n"
    "Any machine that sees the folder may run any shard, and several may run the same one: no result "
    "is lost or overwritten. After SIGUSR2 the present run has a minute to end. Exits with "
    "code 0 if every run has a result, 1 if runs failed or the shard cannot be run, 2 for wrong "
    "arguments, and 75 if runs are left and the command may be started again.",
)
study.command(
    "llem_cli._commands.study.submit:submit",
    name="submit",
    help="Divide a study into shards for many machines, and give them to a cluster.\n\n"
    "The folder of the study says what is done; no process has to wait. Exits with code 1 if the cluster "
    "refuses the study, whose folder is kept, and with 2 if nothing can be submitted from here.",
)
study.command(
    "llem_cli._commands.study.cancel:cancel",
    name="cancel",
    help="Cancel the shards of a study that wait or run on a cluster.\n\n"
    "Finished runs are kept. Exits with code 1 if a shard has not ended after a minute.",
)
study.command(
    "llem_cli._commands.study.show:show",
    name="show",
    help="Show the result of a study, or its progress while it runs.",
)
study.command(
    "llem_cli._commands.study.listing:list_",
    name="list",
    help="List the studies in the folder for results, newest first, each with its state.",
)
study.command(
    "llem_cli._commands.study.watch:watch",
    name="watch",
    help="Show a study in a browser while it runs: progress, power, results so far.\n\n"
    "Prints the address of a page that only this machine can open. Ctrl-C ends the page; the study "
    "is not affected.",
)
study.command(
    "llem_cli._commands.study.report:report",
    name="report",
    help="Write the report of a study as one HTML file, which choice matters most and by how much.\n\n"
    "The file loads nothing, so it can be mailed and archived. Works on running, interrupted and failed "
    "studies. Exits with code 1 if the report cannot be written, and with 2 if a flag is wrong.",
)
study.command(
    "llem_cli._commands.study.export:export_",
    name="export",
    help="Write the tables of a study to files: runs, requests, points, levels, samples.\n\n"
    "The ending of the file is its format: .parquet, .csv or .jsonl. A folder gets all tables. "
    "Every planned run has a row; what was not measured is null, or an empty cell. "
    "`llem-cli schema --export` lists the columns.",
)
study.command(
    "llem_cli._commands.study.plan:plan",
    name="plan",
    help="List every run of a study in execution order; measure nothing.",
)
study.command(
    "llem_cli._commands.study.plan:validate",
    name="validate",
    help="Check a study file and count its points; measure nothing.",
)
study.command(
    "llem_cli._commands.study.init:init",
    name="init",
    help="Write a commented study file for a model, which is expected to run on this machine.\n\n"
    "Chooses device, precision, lengths and batch sizes that fit. Never replaces a file without --force.",
)
study.command(
    "llem_cli._commands.study.fields:fields",
    name="fields",
    help="List the fields of a study file, or explain those that a word names.\n\n"
    "Explains meaning, values, default, whether a field may be swept, and what it does to energy.",
)
study.command(
    "llem_cli._commands.study.compare:compare",
    name="compare",
    help="Compare studies with an earlier one: BASE NEW [NEW ...].\n\n"
    "Pairs the points with the same configuration. Exits with code 0, with 3 if --fail-above is given and a "
    "study is shown to be worse by more than that, and with 4 if --strict is given and it cannot be "
    "told; with 1 if the studies have no common point, and with 2 if a flag or a path is wrong.",
)
study.command(
    "llem_cli._commands.study.merge:merge",
    name="merge",
    help="Merge folders of one study, or of studies without a common point: OUT FOLDER FOLDER [...].\n\n"
    "Writes a new folder; the others stay as they are. With the folder of a divided study alone, merges "
    "what its shards have measured so far. Exits with code 1 if the runs are not comparable, "
    "because the versions of llem or the execution settings differ.",
)
study.command(
    "llem_cli._commands.study.verify:verify",
    name="verify",
    help="Check whether the files of a study are as it wrote them, and what could be measured again here.\n\n"
    "Compares every file with its digest, and models, data, packages and GPUs with those of this machine. "
    "Writes nothing. Exits with code 0 if the files are intact, and with 1 if they are not or it cannot be told.",
)
study.command(
    "llem_cli._commands.study.archive:archive",
    name="archive",
    help="Write a study as one zip file for a repository of data, which a stranger can read and check.\n\n"
    "Holds the files of the study, tables, codebook, report, licence, CITATION.cff, and the SHA-256 of each. "
    "`study show`, `report`, `export`, `methods` and `verify` take this file.",
)
study.command(
    "llem_cli._commands.study.methods:methods",
    name="methods",
    help="Print what a study did, for the section on methods of a paper, and what must be admitted.\n\n"
    "Everything comes from the files of the study: machine, versions, model, order, warm-up, window, meter, "
    "statistics. --latex prints a paragraph and a table.",
)
study.command(
    "llem_cli._commands.study.extend:extend",
    name="extend",
    help="Add points to a study that was measured, from a study file with one more level or point.\n\n"
    "The new points run in new cycles, with some of the old ones to connect both; in a divided study they are "
    "new shards. Refuses a running or "
    "unfinished study, another version of llem, and other settings of the measurement, each by name.",
)
