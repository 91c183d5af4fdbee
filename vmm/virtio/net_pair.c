/* Frames between a pair of queues and a host side: no copy in between, a system call each. */
#include "virtio/net_pair.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <virtio/virtio_net.h>

enum {
    HEADER_SIZE = sizeof(struct virtio_net_hdr_mrg_rxbuf),
    BATCH = 64, /* frames in one direction before the other one's turn */
    /* 65,535 bytes of IP, Ethernet's header with a VLAN tag, and ours; a little more than 5.1.6.3.1
     * has a driver provide. */
    LARGEST_FRAME = 65535 + 18 + HEADER_SIZE,
};

static void watch(struct net_pair *pair, uint32_t events);

/* The worker comes back to a queue, after whatever else there is to do. */
static void look_again(hostvm_virtqueue_t *queue)
{
    const uint64_t one = 1;

    (void)!write(hostvm_virtqueue_fd(queue), &one, sizeof(one)); /* full: it is readable anyway */
}

/* --- the host side --- */

static void host_lost(struct net_pair *pair)
{
    if (pair->is_watched) {
        worker_unwatch(pair->worker, pair->fd);
        pair->is_watched = false;
    }
    if (!pair->is_lost) {
        pair->is_lost = true;
        pair->lost(pair->cookie);
    }
}

/* --- the stock of receive buffers --- */

static void stock_compact(struct net_stock *stock)
{
    stock->end -= stock->first;
    stock->end_piece -= stock->first_piece;
    memmove(stock->buffers, &stock->buffers[stock->first], stock->end * sizeof(stock->buffers[0]));
    memmove(stock->pieces, &stock->pieces[stock->first_piece],
            stock->end_piece * sizeof(stock->pieces[0]));
    stock->first = stock->first_piece = 0;
}

/* For one more buffer, whatever it consists of. */
static bool stock_has_room(struct net_stock *stock)
{
    if (stock->end < NET_STOCK_BUFFERS &&
        stock->end_piece + NET_BUFFER_PIECES <= NET_STOCK_PIECES) {
        return true;
    }
    stock_compact(stock);
    return stock->end < NET_STOCK_BUFFERS &&
           stock->end_piece + NET_BUFFER_PIECES <= NET_STOCK_PIECES;
}

static bool continues(const struct net_stock *stock, const struct iovec *piece)
{
    const struct iovec *last;

    if (stock->first_piece == stock->end_piece) {
        return false;
    }
    last = &stock->pieces[stock->end_piece - 1];
    return (uint8_t *)last->iov_base + last->iov_len == piece->iov_base;
}

static void stock_add_piece(struct net_stock *stock, const struct iovec *piece)
{
    if (continues(stock, piece)) {
        stock->pieces[stock->end_piece - 1].iov_len += piece->iov_len;
    } else {
        stock->pieces[stock->end_piece++] = *piece;
    }
}

/* As hostvm_virtqueue_pop. */
static int stock_add(struct net_pair *pair)
{
    struct net_stock *stock = &pair->stock;
    hostvm_virtio_buffer_t *buffer = &stock->buffers[stock->end];
    int r;

    buffer->iov = pair->rx_pieces;
    buffer->iov_max = NET_BUFFER_PIECES;
    r = hostvm_virtqueue_pop(pair->rx, buffer);
    if (r <= 0) {
        return r;
    }
    if (buffer->nr_out != 0 || buffer->in_size < HEADER_SIZE) {
        hostvm_virtio_fail(pair->device, "network: a receive buffer without room for a header");
        return -1;
    }
    for (unsigned i = 0; i < buffer->nr_in; i++) {
        stock_add_piece(stock, &buffer->iov[i]);
    }
    stock->end++;
    stock->size += buffer->in_size;
    return 1;
}

static void stock_drop(struct net_stock *stock, size_t size)
{
    stock->size -= size;
    while (size > 0) {
        struct iovec *piece = &stock->pieces[stock->first_piece];
        size_t part = size < piece->iov_len ? size : piece->iov_len;

        piece->iov_base = (uint8_t *)piece->iov_base + part;
        piece->iov_len -= part;
        stock->first_piece += piece->iov_len == 0;
        size -= part;
    }
}

/* The first nr buffers are the driver's again, with size bytes in them. */
static void stock_return(struct net_pair *pair, unsigned nr, size_t size)
{
    struct net_stock *stock = &pair->stock;

    for (; nr > 0; nr--) {
        const hostvm_virtio_buffer_t *buffer = &stock->buffers[stock->first++];
        size_t written = size < buffer->in_size ? size : buffer->in_size;

        stock_drop(stock, buffer->in_size);
        size -= written;
        hostvm_virtqueue_push(pair->rx, buffer, written);
    }
}

/* --- receiving --- */

static bool has_enough(const struct net_pair *pair)
{
    const struct net_stock *stock = &pair->stock;

    return pair->is_mergeable ? stock->size >= pair->wanted : stock->first < stock->end;
}

/* Until there is enough, or no more. As hostvm_virtqueue_pop: -1 ends it. */
static int fill(struct net_pair *pair)
{
    int r = 1;

    while (r > 0 && !has_enough(pair) && stock_has_room(&pair->stock)) {
        r = stock_add(pair);
    }
    return r;
}

/* What the driver adds between the last look and the rearming it may not tell of. */
static int fill_or_arm(struct net_pair *pair)
{
    int r = fill(pair);

    if (r == 0) {
        pair->is_rx_armed = true;
        if (hostvm_virtqueue_rearm(pair->rx)) {
            r = fill(pair);
            if (r == 0) {
                look_again(pair->rx);
            }
        }
    }
    return r;
}

/*
 * Whether a frame may be read. One that finds less room than it needs is lost, so a driver that has
 * more on its way is waited for. One that never had more gets what fits.
 */
static bool gather(struct net_pair *pair)
{
    int r = fill_or_arm(pair);

    if (r < 0) {
        pair->has_rx = false;
        return false;
    }
    if (r == 0) {
        return !pair->had_enough && pair->stock.first < pair->stock.end;
    }
    pair->had_enough = true;
    if (pair->is_rx_armed) {
        hostvm_virtqueue_disarm(pair->rx);
        pair->is_rx_armed = false;
    }
    return true;
}

/* How many buffers a frame has come to lie in. */
static unsigned count_buffers(const struct net_stock *stock, size_t size)
{
    unsigned nr = 0;
    size_t room = 0;

    while (room < size) {
        room += stock->buffers[stock->first + nr++].in_size;
    }
    return nr;
}

/* The one field of the header that no host side writes. */
static void set_num_buffers(struct net_stock *stock, uint16_t nr)
{
    const size_t offset = offsetof(struct virtio_net_hdr_mrg_rxbuf, num_buffers);
    struct iovec *piece = &stock->pieces[stock->first_piece];

    if (piece->iov_len >= HEADER_SIZE) {
        memcpy((uint8_t *)piece->iov_base + offset, &nr, sizeof(nr));
    } else {
        const hostvm_virtio_buffer_t all = {.iov = piece,
                                            .nr_in = stock->end_piece - stock->first_piece};

        (void)hostvm_virtio_write(&all, offset, &nr, sizeof(nr)); /* it is that long */
    }
}

static void deliver(struct net_pair *pair, size_t size)
{
    unsigned nr;

    if (size > pair->stock.size) { /* it is lost; the next one shall not be, if the driver can */
        pair->wanted = LARGEST_FRAME;
        pair->had_enough = false;
        return;
    }
    if (size < HEADER_SIZE) {
        return;
    }
    nr = count_buffers(&pair->stock, size);
    set_num_buffers(&pair->stock, (uint16_t)nr);
    stock_return(pair, nr, size);
}

/* 1: a frame is the driver's, or lost; 0: there is none; -1: there will be none any more */
static int receive_one(struct net_pair *pair)
{
    struct net_stock *stock = &pair->stock;
    uint8_t excess; /* a frame that reaches into it is too long */
    ssize_t size;

    stock->pieces[stock->end_piece] = (struct iovec){&excess, sizeof(excess)};
    size = readv(pair->fd, &stock->pieces[stock->first_piece],
                 (int)(stock->end_piece + 1 - stock->first_piece));
    if (size > 0) {
        deliver(pair, (size_t)size);
        return 1;
    }
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return size < 0 && (errno == ENOMEM || errno == ENOBUFS || errno == EFAULT) ? 1 : -1;
}

static void receive(struct net_pair *pair)
{
    bool can_read = true;
    unsigned nr = 0;
    int r = 1;

    while (nr < BATCH && r > 0) {
        can_read = pair->has_rx && gather(pair);
        r = can_read ? receive_one(pair) : 0;
        nr += r > 0;
    }
    if (nr > 0) {
        hostvm_virtqueue_publish(pair->rx);
    }
    if (r < 0) {
        host_lost(pair);
        return;
    }
    watch(pair, can_read ? EPOLLIN : 0);
}

/* --- transmitting --- */

/* False: the host side has no room for the frame. What it does not want at all is lost, as on any
 * wire. */
static bool send_frame(struct net_pair *pair, const hostvm_virtio_buffer_t *buffer)
{
    ssize_t r;

    if (pair->is_lost || buffer->out_size <= HEADER_SIZE || buffer->out_size > LARGEST_FRAME) {
        return true;
    }
    do {
        r = writev(pair->fd, buffer->iov, (int)buffer->nr_out);
    } while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EAGAIN) {
        return false;
    }
    if (r < 0 && (errno == EBADFD || errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)) {
        host_lost(pair);
    }
    return true;
}

/* Sends what the driver has, within the budget. As hostvm_virtqueue_pop, for the frame behind it; a
 * frame that is held ends it, too. */
static int transmit_some(struct net_pair *pair, unsigned *budget)
{
    int r = 1;

    while (r > 0 && *budget > 0) {
        hostvm_virtio_buffer_t buffer = {.iov = pair->tx_pieces, .iov_max = NET_BUFFER_PIECES};

        r = hostvm_virtqueue_pop(pair->tx, &buffer);
        (*budget)--;
        if (r > 0 && !send_frame(pair, &buffer)) {
            pair->held = buffer;
            pair->is_held = true;
            return 0;
        }
        if (r > 0) {
            hostvm_virtqueue_push(pair->tx, &buffer, 0);
        }
    }
    return r;
}

/* However busy the driver is: a batch, and its end is seen by everybody. */
static void transmit(struct net_pair *pair)
{
    unsigned budget = BATCH;
    int r;

    if (!pair->has_tx || pair->is_held) {
        return;
    }
    hostvm_virtqueue_disarm(pair->tx);
    do {
        r = transmit_some(pair, &budget);
        hostvm_virtqueue_publish(pair->tx);
    } while (r == 0 && !pair->is_held && hostvm_virtqueue_rearm(pair->tx));
    if (r < 0) {
        pair->has_tx = false;
    } else if (r > 0) {
        look_again(pair->tx);
    } else if (pair->is_held) {
        watch(pair, pair->events & EPOLLIN);
    }
}

static void send_held(struct net_pair *pair)
{
    if (pair->is_held && send_frame(pair, &pair->held)) {
        pair->is_held = false;
        hostvm_virtqueue_push(pair->tx, &pair->held, 0);
        transmit(pair);
    }
}

/* --- events, on the worker's thread --- */

static void host_event(void *cookie, uint32_t events)
{
    struct net_pair *pair = cookie;

    if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
        host_lost(pair);
    } else if ((events & EPOLLIN) != 0) {
        receive(pair);
    }
    if (pair->is_held && (pair->is_lost || (events & EPOLLOUT) != 0)) {
        send_held(pair);
        watch(pair, pair->events & EPOLLIN);
    }
}

/* The descriptor's errors are always watched for: input, or room for a frame that is held, only
 * when something can be done with it. A change of events does not fail. */
static void watch(struct net_pair *pair, uint32_t events)
{
    events |= pair->is_held ? EPOLLOUT : 0;
    if (pair->is_watched && events != pair->events) {
        (void)worker_watch(pair->worker, pair->fd, events, host_event, pair);
        pair->events = events;
    }
}

static void take_kick(hostvm_virtqueue_t *queue)
{
    uint64_t count;

    (void)!read(hostvm_virtqueue_fd(queue), &count, sizeof(count)); /* how often is no matter */
}

static void rx_kick(void *cookie, uint32_t events)
{
    struct net_pair *pair = cookie;

    (void)events;
    take_kick(pair->rx);
    if (!pair->is_lost && (pair->events & EPOLLIN) == 0 && pair->has_rx && gather(pair)) {
        watch(pair, EPOLLIN);
    }
}

static void tx_kick(void *cookie, uint32_t events)
{
    struct net_pair *pair = cookie;

    (void)events;
    take_kick(pair->tx);
    transmit(pair);
}

/* --- from start to stop --- */

int net_pair_open(struct net_pair *pair, const char *name)
{
    pair->worker = worker_create(name);
    return pair->worker == NULL ? -1 : 0;
}

void net_pair_close(struct net_pair *pair)
{
    worker_destroy(pair->worker);
    pair->worker = NULL;
}

static void reset(struct net_pair *pair, const struct net_pair_rules *rules)
{
    pair->is_mergeable = rules->is_mergeable;
    pair->wanted = rules->max_frame < LARGEST_FRAME - HEADER_SIZE ? rules->max_frame + HEADER_SIZE
                                                                  : LARGEST_FRAME;
    pair->has_rx = hostvm_virtqueue_is_ready(pair->rx);
    pair->has_tx = hostvm_virtqueue_is_ready(pair->tx);
    pair->is_rx_armed = true; /* as queues are at first */
    pair->had_enough = false;
    pair->stock.first = pair->stock.end = 0;
    pair->stock.first_piece = pair->stock.end_piece = 0;
    pair->stock.size = 0;
    pair->is_held = false;
    pair->events = 0;
}

int net_pair_start(struct net_pair *pair, const struct net_pair_rules *rules)
{
    reset(pair, rules);
    pair->is_watched = !pair->is_lost;
    if ((pair->is_watched && worker_watch(pair->worker, pair->fd, 0, host_event, pair) < 0) ||
        worker_watch(pair->worker, hostvm_virtqueue_fd(pair->rx), EPOLLIN, rx_kick, pair) < 0 ||
        worker_watch(pair->worker, hostvm_virtqueue_fd(pair->tx), EPOLLIN, tx_kick, pair) < 0) {
        (void)fprintf(stderr, "hostvm: cannot watch for the guest's frames\n");
        net_pair_stop(pair);
        return -1;
    }
    look_again(pair->rx);
    look_again(pair->tx);
    return 0;
}

/* On the worker's thread nothing of the pair runs meanwhile, nor watches anew. */
static void stop_here(void *cookie)
{
    struct net_pair *pair = cookie;

    worker_unwatch(pair->worker, hostvm_virtqueue_fd(pair->rx));
    worker_unwatch(pair->worker, hostvm_virtqueue_fd(pair->tx));
    worker_unwatch(pair->worker, pair->fd);
    pair->is_watched = false;
}

void net_pair_stop(struct net_pair *pair)
{
    worker_call(pair->worker, stop_here, pair);
}
