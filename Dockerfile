# khaywe's command, with the locked versions of what it needs at run time, and no more.
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir uv==0.13.8
WORKDIR /src
RUN uv venv /opt/khaywe
ENV VIRTUAL_ENV=/opt/khaywe
# The dependencies first, so that a change of our own code does not install them again.
COPY pyproject.toml requirements.lock ./
RUN uv pip install --no-cache --verify-hashes --constraints requirements.lock --requirements pyproject.toml
COPY . .
RUN uv pip install --no-cache --no-deps --build-constraints requirements.lock .

FROM python:3.11-slim
RUN useradd --system --uid 999 --create-home --home-dir /var/lib/khaywe khaywe
COPY --from=build /opt/khaywe /opt/khaywe
ENV PATH=/opt/khaywe/bin:$PATH \
    KHAYWE_HOME=/var/lib/khaywe \
    KHAYWE_WEB_HOST=0.0.0.0
USER khaywe
WORKDIR /var/lib/khaywe
VOLUME /var/lib/khaywe
EXPOSE 6066 6080
ENTRYPOINT ["khaywe"]
CMD ["worker"]
