# The operator's image; also what consumers run the venvs with, since a venv needs the interpreter
# that it was made by at the same path. `make image` builds it with what is there; by hand:
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" \
#     -t configbuild-operator:dev .
#
# Works with a read-only root: it writes below /var/lib/configbuild and /tmp only.

# A Python of 3.11 or later. BASE says more exactly which image: another registry, a digest, or one
# with several Pythons (ADE_PYTHON_BINS). It is Debian or a relative, with python3 on the PATH.
ARG PYTHON=3.13
ARG BASE=docker.io/library/python:${PYTHON}-slim

FROM ${BASE} AS build
# An index other than pip's own. Of this stage only: nothing of it is in the image.
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip stays behind in a venv of its own, with what builds wheels: the operator's has neither.
COPY requirements/build.txt /src/requirements/build.txt
RUN python3 -m venv /opt/tools \
 && python3 -m venv --without-pip /opt/configbuild \
 && /opt/tools/bin/pip install --no-deps --require-hashes --only-binary :all: \
      -r /src/requirements/build.txt

# The dependencies first, a layer that changes only with the lock: every file by its hash, wheels
# only, so that nothing is built and nothing that the lock does not name gets in.
COPY requirements/operator.txt /src/requirements/operator.txt
RUN /opt/tools/bin/pip --python /opt/configbuild/bin/python install --no-compile --no-deps \
      --require-hashes --only-binary :all: -r /src/requirements/operator.txt

COPY pyproject.toml README.md LICENSE /src/
COPY operator /src/operator
RUN /opt/tools/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist /src \
 && /opt/tools/bin/pip --python /opt/configbuild/bin/python install --no-compile --no-deps \
      --no-index /dist/*.whl \
 && /opt/tools/bin/pip --python /opt/configbuild/bin/python check

# Nothing can be compiled later, on a read-only root. By hash and unchecked, since a copy between
# stages may change the times that other bytecode is checked by.
RUN /opt/configbuild/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      /opt/configbuild/lib


FROM ${BASE}
# The base leaves the standard library uncompiled, which every start of every build's and consumer's
# interpreter would pay for. The directories left out are large and not imported.
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash \
      -x '/(test|tests|idlelib|lib2to3|turtledemo|site-packages|dist-packages)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"

# For sources of kind git; the base has none. More of Debian's packages can be asked for: a
# compiler, for configs whose dependencies have no wheels (`make image COMPILER=1`).
#
# Debian's git depends on perl, whose library is 50 MB: for git's commands about mail, Subversion and
# the like. It is left out (perl-base, of the base, is not touched) by dpkg's own means, so that its
# database stays whole. Other packages may want it: with them it is there.
ARG PACKAGES=
RUN set --; \
 [ -n "${PACKAGES}" ] || set -- \
      -o Dpkg::Options::=--path-exclude=/usr/share/perl/* \
      -o Dpkg::Options::=--path-exclude=/usr/lib/*/perl/* \
      -o Dpkg::Options::=--path-exclude=/usr/lib/*/libperl.so.*; \
 apt-get update -q \
 && apt-get install -qy --no-install-recommends "$@" \
      -o Dpkg::Options::=--path-exclude=/usr/share/doc/* \
      -o Dpkg::Options::=--path-include=/usr/share/doc/*/copyright \
      -o Dpkg::Options::=--path-exclude=/usr/share/man/* \
      -o Dpkg::Options::=--path-exclude=/usr/share/locale/* \
      git ca-certificates ${PACKAGES} \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/dpkg.log /var/log/apt

# Numeric in USER, or the kubelet cannot tell that it is not root. The deployment's volumes get the
# same group (fsGroup).
RUN groupadd --gid 10001 configbuild \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin configbuild \
 && install -d -o 10001 -g 10001 /var/lib/configbuild

# With uv, which is one of the operator's dependencies: in /opt/configbuild/bin, pinned by the lock.
COPY --from=build /opt/configbuild /opt/configbuild

# Last, so that a new version leaves the layers above as they are.
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="configbuild-operator" \
      org.opencontainers.image.description="Turns a declared configuration into a verified Python environment on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"

ENV PATH=/opt/configbuild/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
ENTRYPOINT ["configbuild"]
CMD ["operator"]
