!> Angular sums through spherical moments, linear in the number of neighbours.
!>
!> Σ_{j<k} f_j f_k T_m(cos θ_jk) = ½[Σ_l t_ml Σ_{jk} f_j f_k P_l(cos θ_jk) - Σ_j f_j²], since T_m(1) = 1
!> and T_m = Σ_l t_ml P_l.  The addition theorem splits P_l(û_j·û_k) = Σ_μ N_lμ Q_lμ(z_j) Q_lμ(z_k)
!> Re[(x_j + i y_j)^μ (x_k - i y_k)^μ], N_lμ = (2 - δ_μ0)(l - μ)!/(l + μ)!, Q_lμ = d^μ P_l/dz^μ, so the
!> double sum is Σ_μ N_lμ (A_lμ² + B_lμ²) with the moments A + iB = Σ_j f_j Q_lμ(z_j)(x_j + i y_j)^μ.
module tf_moments
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, check_memory
   implicit none
   private
   public :: moment_tables_type, new_moment_tables, angular_sums, angular_gradient, angular_gradients, n_moments, max_angular_order

   !> Beyond this the normalisation (l - μ)!/(l + μ)! leaves the range of double precision
   integer, parameter :: max_angular_order = 60

   !> Constants for all orders up to `order`
   type :: moment_tables_type
      integer :: order = -1
      !> (l, m) coefficients of T_m in Legendre polynomials P_l
      real(wp), allocatable :: legendre(:, :)
      !> (l, μ) factor N_lμ
      real(wp), allocatable :: norm(:, :)
      !> (2, n_moments) for l fastest within μ, factors of Q_{l+1} = c_1 z Q_l - c_2 Q_{l-1}:
      !> (l + 1 - μ) Q_{l+1} = (2l + 1) z Q_l - (l + μ) Q_{l-1}
      real(wp), allocatable :: recurrence(:, :)
   end type moment_tables_type

contains

   !> Number of (l, μ) pairs with 0 <= μ <= l <= order
   pure integer function n_moments(order)
      !> Largest l
      integer, intent(in) :: order

      n_moments = (order + 1)*(order + 2)/2
   end function n_moments

   subroutine new_moment_tables(order, tables, error)
      !> Largest l
      integer, intent(in) :: order
      type(moment_tables_type), intent(out) :: tables
      type(error_type), allocatable, intent(inout) :: error
      integer :: l, m, mu, k, status

      tables%order = order
      allocate (tables%legendre(0:order, 0:order), tables%norm(0:order, 0:order), tables%recurrence(2, n_moments(order)), &
         stat=status)
      call check_memory(status, "tables of moments", 24_i8*(order + 1)**2, error)
      if (allocated(error)) return
      tables%legendre = 0.0_wp
      tables%norm = 0.0_wp
      tables%legendre(0, 0) = 1.0_wp
      if (order >= 1) tables%legendre(1, 1) = 1.0_wp
      ! T_{m+1} = 2x T_m - T_{m-1}; x P_l = ((l+1) P_{l+1} + l P_{l-1})/(2l+1)
      do m = 1, order - 1
         do l = 0, m
            tables%legendre(l + 1, m + 1) = tables%legendre(l + 1, m + 1) &
               + 2.0_wp*(l + 1)/(2*l + 1)*tables%legendre(l, m)
            if (l > 0) tables%legendre(l - 1, m + 1) = tables%legendre(l - 1, m + 1) &
               + 2.0_wp*l/(2*l + 1)*tables%legendre(l, m)
         end do
         tables%legendre(:, m + 1) = tables%legendre(:, m + 1) - tables%legendre(:, m - 1)
      end do
      do l = 0, order
         tables%norm(l, 0) = 1.0_wp
         do mu = 1, l
            tables%norm(l, mu) = tables%norm(l, mu - 1)/(real(l + mu, wp)*(l - mu + 1))
            if (mu == 1) tables%norm(l, mu) = 2.0_wp*tables%norm(l, mu)
         end do
      end do
      k = 0
      do mu = 0, order
         do l = mu, order
            k = k + 1
            tables%recurrence(:, k) = [real(2*l + 1, wp), real(l + mu, wp)]/(l + 1 - mu)
         end do
      end do
   end subroutine new_moment_tables

   !> Values a_m = Σ_{j<k} f_j f_k T_m(cos θ_jk) and the weighted ones with f_j s_j in place of f_j
   pure subroutine angular_sums(tables, n, x, y, z, f, s, weighted, work, plain_moment, weighted_moment, a, a_weighted)
      type(moment_tables_type), intent(in) :: tables
      !> Neighbours, padded to a multiple of `lanes` with f = 0
      integer, intent(in) :: n
      !> Unit vectors
      real(wp), intent(in) :: x(n), y(n), z(n)
      !> Cutoff function and weight of each neighbour
      real(wp), intent(in) :: f(n), s(n)
      !> Are the weighted sums wanted?
      logical, intent(in) :: weighted
      !> (n, 5) scratch
      real(wp), intent(inout) :: work(n, 5)
      !> (2, n_moments) moments A and B, for l fastest within μ; the second only if weighted
      real(wp), intent(out) :: plain_moment(2, n_moments(tables%order))
      real(wp), intent(out) :: weighted_moment(2, n_moments(tables%order))
      real(wp), intent(out) :: a(0:tables%order)
      !> Untouched unless weighted
      real(wp), intent(inout) :: a_weighted(0:tables%order)
      real(wp) :: self, self_weighted, power(0:tables%order), power_weighted(0:tables%order)
      integer :: l, mu, k, j
      real(wp) :: q_start

      ! Columns: f·Re(x+iy)^μ, f·Im(x+iy)^μ, Q_{l-1}, Q_l
      work(:, 1) = f
      work(:, 2) = 0.0_wp
      power = 0.0_wp
      power_weighted = 0.0_wp
      q_start = 1.0_wp
      k = 0
      do mu = 0, tables%order
         if (mu > 0) then
            q_start = q_start*(2*mu - 1)
            call next_power(n, x, y, work(:, 1), work(:, 2))
         end if
         work(:, 3) = 0.0_wp
         work(:, 4) = q_start
         do l = mu, tables%order
            k = k + 1
            if (l > mu) call next_legendre(n, tables%recurrence(1, k - 1), tables%recurrence(2, k - 1), z, work(:, 3), work(:, 4))
            if (weighted) then
               call four_sums(n, work(:, 4), work(:, 1), work(:, 2), s, plain_moment(1, k), plain_moment(2, k), &
                  weighted_moment(1, k), weighted_moment(2, k))
               power_weighted(l) = power_weighted(l) &
                  + tables%norm(l, mu)*(weighted_moment(1, k)**2 + weighted_moment(2, k)**2)
            else
               call two_sums(n, work(:, 4), work(:, 1), work(:, 2), plain_moment(1, k), plain_moment(2, k))
            end if
            power(l) = power(l) + tables%norm(l, mu)*(plain_moment(1, k)**2 + plain_moment(2, k)**2)
         end do
      end do
      self = 0.0_wp
      self_weighted = 0.0_wp
      !$omp simd reduction(+:self, self_weighted)
      do j = 1, n
         self = self + f(j)**2
         self_weighted = self_weighted + (f(j)*s(j))**2
      end do
      a = 0.5_wp*(matmul(power, tables%legendre) - self)
      if (weighted) a_weighted = 0.5_wp*(matmul(power_weighted, tables%legendre) - self_weighted)
   end subroutine angular_sums

   !> Derivative of Σ_m (g_m a_m + g^w_m a^w_m) with respect to each neighbour's f and unit vector
   pure subroutine angular_gradient(tables, n, x, y, z, f, s, weighted, plain_moment, weighted_moment, g, g_weighted, &
         df, dx, dy, dz)
      type(moment_tables_type), intent(in) :: tables
      !> Neighbours; their unit vectors, cutoff functions and weights
      integer, intent(in) :: n
      real(wp), intent(in) :: x(n), y(n), z(n), f(n), s(n)
      logical, intent(in) :: weighted
      !> From `angular_sums`
      real(wp), intent(in) :: plain_moment(2, n_moments(tables%order))
      real(wp), intent(in) :: weighted_moment(2, n_moments(tables%order))
      real(wp), intent(in) :: g(0:tables%order), g_weighted(0:tables%order)
      !> Derivative with respect to f, and with respect to the unit vector (not yet projected)
      real(wp), intent(out) :: df(n), dx(n), dy(n), dz(n)
      real(wp) :: p(0:tables%order), p_weighted(0:tables%order), b(8, n_moments(tables%order)), self, self_weighted
      integer :: l, mu, k, k_below

      p = matmul(tables%legendre, g)
      p_weighted = 0.0_wp
      if (weighted) p_weighted = matmul(tables%legendre, g_weighted)
      self = sum(g)
      self_weighted = 0.0_wp
      if (weighted) self_weighted = sum(g_weighted)

      b = 0.0_wp
      k = 0
      do mu = 0, tables%order
         k_below = k - (tables%order - mu + 1)
         do l = mu, tables%order
            k = k + 1
            k_below = k_below + 1
            b(1:2, k) = p(l)*tables%norm(l, mu)*plain_moment(:, k)
            if (weighted) b(3:4, k) = p_weighted(l)*tables%norm(l, mu)*weighted_moment(:, k)
            if (mu == 0) cycle
            ! dQ_lμ-1/dz = Q_lμ: this order also serves the z derivative of the one below
            b(5:6, k) = p(l)*tables%norm(l, mu - 1)*plain_moment(:, k_below)
            if (weighted) b(7:8, k) = p_weighted(l)*tables%norm(l, mu - 1)*weighted_moment(:, k_below)
         end do
      end do
      call sum_orders(tables%order, n, x, y, z, f, s, self, self_weighted, b, tables%recurrence, df, dx, dy, dz)
   end subroutine angular_gradient

   !> The sums of `angular_gradient` over μ and l, so few neighbours at a time that most stays in registers
   pure subroutine sum_orders(order, n, x, y, z, f, s, self, self_weighted, b, recurrence, df, dx, dy, dz)
      !> Largest l, neighbours
      integer, intent(in) :: order, n
      real(wp), intent(in) :: x(n), y(n), z(n), f(n), s(n)
      !> Of the pairs of a neighbour with itself
      real(wp), intent(in) :: self, self_weighted
      !> For l fastest within μ: factors of Re and Im, plain and weighted; those of the μ below
      real(wp), intent(in) :: b(8, n_moments(order))
      !> Of the tables
      real(wp), intent(in) :: recurrence(2, n_moments(order))
      !> As for `angular_gradient`
      real(wp), intent(out) :: df(n), dx(n), dy(n), dz(n)
      integer, parameter :: strip = 4
      ! (x+iy)^μ, (x+iy)^(μ-1), Q_{l-1} and Q_l, Σ_l b_lμ Q_lμ for A and B, Σ_l b_lμ-1 Q_lμ
      real(wp), dimension(strip) :: re, im, re_below, im_below, before, q, kr, ki, lr, li, cf, cx, cy, cz
      real(wp) :: q_start
      integer :: i, j, k, l, mu

      do j = 0, n - strip, strip
         do i = 1, strip
            cf(i) = -(self + self_weighted*s(j + i)**2)*f(j + i)
            cx(i) = 0.0_wp
            cy(i) = 0.0_wp
            cz(i) = 0.0_wp
            re(i) = 1.0_wp
            im(i) = 0.0_wp
            re_below(i) = 0.0_wp
            im_below(i) = 0.0_wp
         end do
         q_start = 1.0_wp
         k = 0
         do mu = 0, order
            do i = 1, strip
               before(i) = 0.0_wp
               q(i) = q_start
               kr(i) = 0.0_wp
               ki(i) = 0.0_wp
               lr(i) = 0.0_wp
               li(i) = 0.0_wp
            end do
            do l = mu, order
               k = k + 1
               do i = 1, strip
                  kr(i) = kr(i) + (b(1, k) + s(j + i)*b(3, k))*q(i)
                  ki(i) = ki(i) + (b(2, k) + s(j + i)*b(4, k))*q(i)
                  lr(i) = lr(i) + (b(5, k) + s(j + i)*b(7, k))*q(i)
                  li(i) = li(i) + (b(6, k) + s(j + i)*b(8, k))*q(i)
               end do
               call next_legendre(strip, recurrence(1, k), recurrence(2, k), z(j + 1), before, q)
            end do
            do i = 1, strip
               cf(i) = cf(i) + kr(i)*re(i) + ki(i)*im(i)
               cx(i) = cx(i) + mu*(kr(i)*re_below(i) + ki(i)*im_below(i))
               cy(i) = cy(i) + mu*(ki(i)*re_below(i) - kr(i)*im_below(i))
               cz(i) = cz(i) + lr(i)*re_below(i) + li(i)*im_below(i)
               re_below(i) = re(i)
               im_below(i) = im(i)
            end do
            call next_power(strip, x(j + 1), y(j + 1), re, im)
            q_start = q_start*(2*mu + 1)
         end do
         do i = 1, strip
            df(j + i) = cf(i)
            dx(j + i) = f(j + i)*cx(i)
            dy(j + i) = f(j + i)*cy(i)
            dz(j + i) = f(j + i)*cz(i)
         end do
      end do
   end subroutine sum_orders

   !> Derivatives of all a_m with respect to each neighbour's unit vector and f, for one or two sets of moments.  Those of
   !> weighted sums are the ones of weighted moments times s_j
   pure subroutine angular_gradients(tables, n, x, y, z, f, n_sets, moment, derivative)
      type(moment_tables_type), intent(in) :: tables
      !> Neighbours, a multiple of `lanes`; their unit vectors and cutoff functions
      integer, intent(in) :: n, n_sets
      real(wp), intent(in) :: x(n), y(n), z(n), f(n)
      !> From `angular_sums`
      real(wp), intent(in) :: moment(2, n_moments(tables%order), n_sets)
      !> With respect to f, without the term -f_j of the pairs of a neighbour with itself, and with respect to the unit
      !> vector (not yet projected)
      real(wp), intent(out) :: derivative(n, 4, 0:tables%order, n_sets)
      ! Neighbours at a time, so few that their sums stay in the nearest cache
      integer, parameter :: strip = 4
      ! Factors of Re and Im, and those of the μ below
      real(wp) :: b(4, n_sets, n_moments(tables%order))
      ! Derivatives of the Σ_{j<k} f_j f_k P_l + ½ Σ_j f_j², with respect to f, x, y and z one after the other
      real(wp) :: part(4*strip, 0:tables%order, n_sets), total(4*strip)
      real(wp), dimension(strip) :: re, im, re_below, im_below, before, q
      real(wp) :: q_start
      integer :: i, j, k, l, m, mu, k_below, set

      k = 0
      do mu = 0, tables%order
         k_below = k - (tables%order - mu + 1)
         do l = mu, tables%order
            k = k + 1
            k_below = k_below + 1
            b(1:2, :, k) = tables%norm(l, mu)*moment(:, k, :)
            b(3:4, :, k) = 0.0_wp
            ! dQ_lμ-1/dz = Q_lμ
            if (mu > 0) b(3:4, :, k) = tables%norm(l, mu - 1)*moment(:, k_below, :)
         end do
      end do
      do j = 0, n - strip, strip
         part = 0.0_wp
         re = 1.0_wp
         im = 0.0_wp
         re_below = 0.0_wp
         im_below = 0.0_wp
         q_start = 1.0_wp
         k = 0
         do mu = 0, tables%order
            before = 0.0_wp
            q = q_start
            do l = mu, tables%order
               k = k + 1
               do set = 1, n_sets
                  do i = 1, strip
                     part(i, l, set) = part(i, l, set) + q(i)*(b(1, set, k)*re(i) + b(2, set, k)*im(i))
                     part(strip + i, l, set) = part(strip + i, l, set) &
                        + mu*q(i)*(b(1, set, k)*re_below(i) + b(2, set, k)*im_below(i))
                     part(2*strip + i, l, set) = part(2*strip + i, l, set) &
                        + mu*q(i)*(b(2, set, k)*re_below(i) - b(1, set, k)*im_below(i))
                     part(3*strip + i, l, set) = part(3*strip + i, l, set) &
                        + q(i)*(b(3, set, k)*re_below(i) + b(4, set, k)*im_below(i))
                  end do
               end do
               call next_legendre(strip, tables%recurrence(1, k), tables%recurrence(2, k), z(j + 1), before, q)
            end do
            re_below = re
            im_below = im
            call next_power(strip, x(j + 1), y(j + 1), re, im)
            q_start = q_start*(2*mu + 1)
         end do
         do set = 1, n_sets
            do m = 0, tables%order
               total = 0.0_wp
               do l = modulo(m, 2), m, 2
                  !$omp simd
                  do i = 1, 4*strip
                     total(i) = total(i) + tables%legendre(l, m)*part(i, l, set)
                  end do
               end do
               do i = 1, strip
                  derivative(j + i, 1, m, set) = total(i)
                  derivative(j + i, 2, m, set) = f(j + i)*total(strip + i)
                  derivative(j + i, 3, m, set) = f(j + i)*total(2*strip + i)
                  derivative(j + i, 4, m, set) = f(j + i)*total(3*strip + i)
               end do
            end do
         end do
      end do
   end subroutine angular_gradients

   !> From f·(x+iy)^(μ-1) to f·(x+iy)^μ
   pure subroutine next_power(n, x, y, re, im)
      !> Neighbours
      integer, intent(in) :: n
      !> First two components of their unit vectors
      real(wp), intent(in) :: x(n), y(n)
      !> Real and imaginary parts
      real(wp), intent(inout) :: re(n), im(n)
      real(wp) :: t
      integer :: j

      !$omp simd private(t)
      do j = 1, n
         t = re(j)*x(j) - im(j)*y(j)
         im(j) = re(j)*y(j) + im(j)*x(j)
         re(j) = t
      end do
   end subroutine next_power

   !> Q_l, Q_{l+1} from Q_{l-1}, Q_l
   pure subroutine next_legendre(n, c1, c2, z, before, now)
      !> Neighbours
      integer, intent(in) :: n
      !> `recurrence` of l and μ
      real(wp), intent(in) :: c1, c2
      !> z of the unit vectors
      real(wp), intent(in) :: z(n)
      !> Q_{l-1} and Q_l first, Q_l and Q_{l+1} then
      real(wp), intent(inout) :: before(n), now(n)
      real(wp) :: t
      integer :: j

      !$omp simd private(t)
      do j = 1, n
         t = c1*z(j)*now(j) - c2*before(j)
         before(j) = now(j)
         now(j) = t
      end do
   end subroutine next_legendre

   !> Σ_j q_j (re_j, im_j)
   pure subroutine two_sums(n, q, re, im, a, b)
      !> Neighbours; values, real and imaginary parts; Σ q re and Σ q im
      integer, intent(in) :: n
      real(wp), intent(in) :: q(n), re(n), im(n)
      real(wp), intent(out) :: a, b
      real(wp) :: sa, sb
      integer :: j

      sa = 0.0_wp
      sb = 0.0_wp
      !$omp simd reduction(+:sa, sb)
      do j = 1, n
         sa = sa + q(j)*re(j)
         sb = sb + q(j)*im(j)
      end do
      a = sa
      b = sb
   end subroutine two_sums

   !> Σ_j q_j (re_j, im_j), and the same weighted with s_j
   pure subroutine four_sums(n, q, re, im, s, a, b, a_weighted, b_weighted)
      !> As for `two_sums`, also weighted with s
      integer, intent(in) :: n
      real(wp), intent(in) :: q(n), re(n), im(n), s(n)
      real(wp), intent(out) :: a, b, a_weighted, b_weighted
      real(wp) :: sa, sb, sc, sd, qa, qb
      integer :: j

      sa = 0.0_wp
      sb = 0.0_wp
      sc = 0.0_wp
      sd = 0.0_wp
      !$omp simd reduction(+:sa, sb, sc, sd) private(qa, qb)
      do j = 1, n
         qa = q(j)*re(j)
         qb = q(j)*im(j)
         sa = sa + qa
         sb = sb + qb
         sc = sc + s(j)*qa
         sd = sd + s(j)*qb
      end do
      a = sa
      b = sb
      a_weighted = sc
      b_weighted = sd
   end subroutine four_sums

end module tf_moments
