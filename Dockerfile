# hwquant with its extras: docker build -t hwquant . && docker run --rm -v "$PWD":/work hwquant demo
FROM python:3.13-slim AS wheel
COPY . /src
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /dist /src

FROM python:3.13-slim
RUN apt-get update && apt-get install -y --no-install-recommends g++ make perl iverilog && rm -rf /var/lib/apt/lists/*
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist pip install --no-cache-dir \
    --extra-index-url https://download.pytorch.org/whl/cpu "$(ls /dist/*.whl)[all]"
WORKDIR /work
ENTRYPOINT ["hwquant"]
