"""What dnf would install: reads a question as JSON, writes the answers as JSON.

{"folder": scratch, "repos": [{"id", "path", "priority", "exclude"}], "asks": [{"by", "texts"}]}
-> [[nevra, ...] or null where dnf finds no answer, ...]
"""
import json
import os
import sys

import dnf
import dnf.selector

question = json.load(sys.stdin)
base = dnf.Base()
conf = base.conf
conf.cachedir = os.path.join(question["folder"], "cache")
conf.persistdir = os.path.join(question["folder"], "persist")
conf.logdir = os.path.join(question["folder"], "log")
conf.installroot = os.path.join(question["folder"], "root")
for folder in (conf.cachedir, conf.persistdir, conf.logdir, conf.installroot):
    os.makedirs(folder, exist_ok=True)
conf.install_weak_deps = False
conf.best = False
conf.substitutions.update({"arch": "x86_64", "basearch": "x86_64", "releasever": "1"})
for spec in question["repos"]:
    repo = dnf.repo.Repo(spec["id"], conf)
    repo.baseurl = ["file://" + spec["path"]]
    repo.priority = spec["priority"]
    repo.excludepkgs = spec["exclude"]
    repo.skip_if_unavailable = False
    base.repos.add(repo)
base.fill_sack(load_system_repo=False)
answers = []
for ask in question["asks"]:
    base.reset(goal=True)
    try:
        for text in ask["texts"]:
            if ask["by"] == "build":
                selector = dnf.selector.Selector(base.sack)
                selector.set(provides=text)
                if not selector.matches():
                    raise dnf.exceptions.MarkingError(text, text)
                base._goal.install(select=selector, optional=False)
            else:
                base.install(text)
        base.resolve()
        answers.append(sorted({str(p) for p in base.transaction.install_set}))
    except (dnf.exceptions.Error,) as error:
        print(error, file=sys.stderr)
        answers.append(None)
json.dump(answers, sys.stdout)
