"""The edge gateway: identity, assets, jobs, compositing; light enough to stand near every user."""
